//! S3's block of public access: four flags of a bucket, each of which closes one way to open it to everyone.
//!
//! Not here: its document (`http/s3/public_access` writes and checks it, `auth/rules` reads what is stored), and what follows from it
//! (`auth`).

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PublicAccessBlock {
    /// No ACL that opens something to everyone is taken any more.
    pub block_public_acls: bool,
    /// Those that are there do not count.
    pub ignore_public_acls: bool,
    /// No policy that is public is taken any more.
    pub block_public_policy: bool,
    /// One that is there opens the bucket to its owner alone.
    pub restrict_public_buckets: bool,
}

impl PublicAccessBlock {
    /// With the names that S3 has for them, in its order.
    pub fn flags_mut(&mut self) -> [(&'static str, &mut bool); 4] {
        [
            ("BlockPublicAcls", &mut self.block_public_acls),
            ("IgnorePublicAcls", &mut self.ignore_public_acls),
            ("BlockPublicPolicy", &mut self.block_public_policy),
            ("RestrictPublicBuckets", &mut self.restrict_public_buckets),
        ]
    }

    pub fn flags(mut self) -> [(&'static str, bool); 4] {
        self.flags_mut().map(|(name, flag)| (name, *flag))
    }
}
