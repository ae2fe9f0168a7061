//! The operations of the S3 door, and what each is called: by S3, by its parameter, by the access log.
//!
//! Pure tables. `route` finds the operation of a request; an operation that is not here is not implemented.

use crate::telemetry::audit::Kind;
use crate::telemetry::metrics;

/// All operations as one enum, and those of each kind of resource as one of their own: what carries them out matches those, so that
/// a new operation does not compile without a handler.
macro_rules! operations {
    ($($(#[$doc:meta])* $kind:ident { $($name:ident)* })*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Operation {
            $($($name,)*)*
        }

        impl Operation {
            pub const ALL: &[Operation] = &[$($(Operation::$name,)*)*];

            /// S3's name for it; also the label of metrics.
            pub const fn name(self) -> &'static str {
                match self {
                    $($(Operation::$name => stringify!($name),)*)*
                }
            }
        }

        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            pub enum $kind {
                $($name,)*
            }

            impl From<$kind> for Operation {
                fn from(of: $kind) -> Self {
                    match of {
                        $($kind::$name => Operation::$name,)*
                    }
                }
            }
        )*
    };
}

operations! {
    OnService { ListBuckets }
    /// Its body says who asks, and for which key: it is read before anything is decided.
    OnForm { PostObject }
    OnBucket {
        CreateBucket HeadBucket DeleteBucket GetBucketLocation GetBucketVersioning ListObjects ListObjectsV2
        ListObjectVersions DeleteObjects ListMultipartUploads GetBucketPolicy GetBucketPolicyStatus PutBucketPolicy
        DeleteBucketPolicy GetBucketAcl PutBucketAcl GetBucketCors PutBucketCors DeleteBucketCors
        GetBucketTagging PutBucketTagging DeleteBucketTagging
        GetBucketLifecycleConfiguration PutBucketLifecycleConfiguration DeleteBucketLifecycle
        PutBucketVersioning GetObjectLockConfiguration PutObjectLockConfiguration
        GetBucketEncryption PutBucketEncryption DeleteBucketEncryption GetBucketLogging PutBucketLogging
        GetBucketNotificationConfiguration PutBucketNotificationConfiguration
        GetBucketRequestPayment GetBucketAccelerateConfiguration GetBucketReplication
        GetBucketWebsite PutBucketWebsite DeleteBucketWebsite
        GetBucketInventoryConfiguration ListBucketInventoryConfigurations
        GetBucketAnalyticsConfiguration ListBucketAnalyticsConfigurations GetBucketMetricsConfiguration
        ListBucketMetricsConfigurations GetBucketIntelligentTieringConfiguration
        ListBucketIntelligentTieringConfigurations GetBucketOwnershipControls PutBucketOwnershipControls
        DeleteBucketOwnershipControls GetPublicAccessBlock PutPublicAccessBlock
        DeletePublicAccessBlock
    }
    OnObject {
        GetObject HeadObject PutObject PublishObject CopyObject DeleteObject
        GetObjectAttributes GetObjectAcl PutObjectAcl GetObjectTagging PutObjectTagging DeleteObjectTagging CreateMultipartUpload
        UploadPart UploadPartCopy CompleteMultipartUpload AbortMultipartUpload ListParts RestoreObject GetObjectRetention
        PutObjectRetention GetObjectLegalHold PutObjectLegalHold
    }
}

impl Operation {
    /// Its place in `ALL`.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// As metrics count it.
    pub const fn label(self) -> metrics::Operation {
        metrics::Operation { index: self.index(), name: self.name() }
    }

    /// The parameter that asks for it, where there is one.
    pub const fn sub_resource(self) -> Option<&'static str> {
        use Operation::*;
        match self {
            GetBucketLocation => Some("location"),
            GetBucketVersioning | PutBucketVersioning => Some("versioning"),
            GetObjectLockConfiguration | PutObjectLockConfiguration => Some("object-lock"),
            GetObjectRetention | PutObjectRetention => Some("retention"),
            GetObjectLegalHold | PutObjectLegalHold => Some("legal-hold"),
            ListObjectVersions => Some("versions"),
            DeleteObjects => Some("delete"),
            ListMultipartUploads | CreateMultipartUpload => Some("uploads"),
            GetBucketPolicyStatus => Some("policyStatus"),
            GetBucketPolicy | PutBucketPolicy | DeleteBucketPolicy => Some("policy"),
            GetBucketAcl | PutBucketAcl | GetObjectAcl | PutObjectAcl => Some("acl"),
            GetBucketCors | PutBucketCors | DeleteBucketCors => Some("cors"),
            GetBucketTagging | PutBucketTagging | DeleteBucketTagging | GetObjectTagging | PutObjectTagging | DeleteObjectTagging => {
                Some("tagging")
            }
            GetBucketLifecycleConfiguration | PutBucketLifecycleConfiguration | DeleteBucketLifecycle => Some("lifecycle"),
            GetBucketEncryption | PutBucketEncryption | DeleteBucketEncryption => Some("encryption"),
            GetBucketLogging | PutBucketLogging => Some("logging"),
            GetBucketNotificationConfiguration | PutBucketNotificationConfiguration => Some("notification"),
            GetBucketRequestPayment => Some("requestPayment"),
            GetBucketAccelerateConfiguration => Some("accelerate"),
            GetBucketReplication => Some("replication"),
            GetBucketWebsite | PutBucketWebsite | DeleteBucketWebsite => Some("website"),
            GetBucketInventoryConfiguration | ListBucketInventoryConfigurations => Some("inventory"),
            GetBucketAnalyticsConfiguration | ListBucketAnalyticsConfigurations => Some("analytics"),
            GetBucketMetricsConfiguration | ListBucketMetricsConfigurations => Some("metrics"),
            GetBucketIntelligentTieringConfiguration | ListBucketIntelligentTieringConfigurations => Some("intelligent-tiering"),
            GetBucketOwnershipControls | PutBucketOwnershipControls | DeleteBucketOwnershipControls => Some("ownershipControls"),
            GetPublicAccessBlock | PutPublicAccessBlock | DeletePublicAccessBlock => Some("publicAccessBlock"),
            GetObjectAttributes => Some("attributes"),
            RestoreObject => Some("restore"),
            ListBuckets
            | PostObject
            | CreateBucket
            | HeadBucket
            | DeleteBucket
            | ListObjects
            | ListObjectsV2
            | GetObject
            | HeadObject
            | PutObject
            | PublishObject
            | CopyObject
            | DeleteObject
            | UploadPart
            | UploadPartCopy
            | CompleteMultipartUpload
            | AbortMultipartUpload
            | ListParts => None,
        }
    }

    /// Where it changes who may do what, or what is kept. Not what writes or removes objects: the access log has that.
    pub const fn audited(self) -> Option<Kind> {
        use Operation::*;
        match self {
            PutBucketPolicy
            | DeleteBucketPolicy
            | PutBucketAcl
            | PutObjectAcl
            | PutBucketOwnershipControls
            | DeleteBucketOwnershipControls
            | PutPublicAccessBlock
            | DeletePublicAccessBlock => Some(Kind::Policy),
            CreateBucket
            | DeleteBucket
            | PutBucketCors
            | DeleteBucketCors
            | PutBucketTagging
            | DeleteBucketTagging
            | PutBucketLifecycleConfiguration
            | DeleteBucketLifecycle
            | PutBucketVersioning
            | PutObjectLockConfiguration
            | PutBucketEncryption
            | DeleteBucketEncryption
            | PutBucketLogging
            | PutBucketNotificationConfiguration
            | PutBucketWebsite
            | DeleteBucketWebsite
            | PutObjectRetention
            | PutObjectLegalHold => Some(Kind::Setting),
            _ => None,
        }
    }

    /// The access log's word for it.
    pub fn log_name(self) -> &'static str {
        use Operation::*;
        match self {
            ListBuckets => "REST.GET.SERVICE",
            CreateBucket => "REST.PUT.BUCKET",
            HeadBucket => "REST.HEAD.BUCKET",
            DeleteBucket => "REST.DELETE.BUCKET",
            GetBucketLocation => "REST.GET.LOCATION",
            GetBucketVersioning => "REST.GET.VERSIONING",
            PutBucketVersioning => "REST.PUT.VERSIONING",
            GetObjectLockConfiguration => "REST.GET.OBJECT_LOCK_CONFIGURATION",
            PutObjectLockConfiguration => "REST.PUT.OBJECT_LOCK_CONFIGURATION",
            GetObjectRetention => "REST.GET.OBJECT_LOCK_RETENTION",
            PutObjectRetention => "REST.PUT.OBJECT_LOCK_RETENTION",
            GetObjectLegalHold => "REST.GET.OBJECT_LOCK_LEGALHOLD",
            PutObjectLegalHold => "REST.PUT.OBJECT_LOCK_LEGALHOLD",
            ListObjects | ListObjectsV2 => "REST.GET.BUCKET",
            ListObjectVersions => "REST.GET.BUCKETVERSIONS",
            DeleteObjects => "REST.POST.MULTI_OBJECT_DELETE",
            ListMultipartUploads => "REST.GET.UPLOADS",
            GetBucketPolicy => "REST.GET.BUCKETPOLICY",
            GetBucketPolicyStatus => "REST.GET.POLICY_STATUS",
            PutBucketPolicy => "REST.PUT.BUCKETPOLICY",
            DeleteBucketPolicy => "REST.DELETE.BUCKETPOLICY",
            GetBucketAcl | GetObjectAcl => "REST.GET.ACL",
            GetBucketCors => "REST.GET.CORS",
            PutBucketCors => "REST.PUT.CORS",
            DeleteBucketCors => "REST.DELETE.CORS",
            GetBucketTagging => "REST.GET.TAGGING",
            PutBucketTagging => "REST.PUT.TAGGING",
            DeleteBucketTagging => "REST.DELETE.TAGGING",
            GetBucketLifecycleConfiguration => "REST.GET.LIFECYCLE",
            PutBucketLifecycleConfiguration => "REST.PUT.LIFECYCLE",
            DeleteBucketLifecycle => "REST.DELETE.LIFECYCLE",
            GetObjectTagging => "REST.GET.OBJECT_TAGGING",
            PutObjectTagging => "REST.PUT.OBJECT_TAGGING",
            DeleteObjectTagging => "REST.DELETE.OBJECT_TAGGING",
            GetBucketEncryption => "REST.GET.ENCRYPTION",
            PutBucketEncryption => "REST.PUT.ENCRYPTION",
            DeleteBucketEncryption => "REST.DELETE.ENCRYPTION",
            GetBucketLogging => "REST.GET.LOGGING_STATUS",
            PutBucketLogging => "REST.PUT.LOGGING_STATUS",
            GetBucketNotificationConfiguration => "REST.GET.NOTIFICATION",
            PutBucketNotificationConfiguration => "REST.PUT.NOTIFICATION",
            GetBucketRequestPayment => "REST.GET.REQUEST_PAYMENT",
            GetBucketAccelerateConfiguration => "REST.GET.ACCELERATE",
            GetBucketReplication => "REST.GET.REPLICATION",
            GetBucketWebsite => "REST.GET.WEBSITE",
            PutBucketWebsite => "REST.PUT.WEBSITE",
            DeleteBucketWebsite => "REST.DELETE.WEBSITE",
            GetBucketInventoryConfiguration | ListBucketInventoryConfigurations => "REST.GET.INVENTORY",
            GetBucketAnalyticsConfiguration | ListBucketAnalyticsConfigurations => "REST.GET.ANALYTICS",
            GetBucketMetricsConfiguration | ListBucketMetricsConfigurations => "REST.GET.METRICS",
            GetBucketIntelligentTieringConfiguration | ListBucketIntelligentTieringConfigurations => "REST.GET.INTELLIGENT_TIERING",
            GetBucketOwnershipControls => "REST.GET.OWNERSHIP_CONTROLS",
            PutBucketOwnershipControls => "REST.PUT.OWNERSHIP_CONTROLS",
            DeleteBucketOwnershipControls => "REST.DELETE.OWNERSHIP_CONTROLS",
            GetPublicAccessBlock => "REST.GET.PUBLIC_ACCESS_BLOCK",
            PutPublicAccessBlock => "REST.PUT.PUBLIC_ACCESS_BLOCK",
            DeletePublicAccessBlock => "REST.DELETE.PUBLIC_ACCESS_BLOCK",
            PutBucketAcl | PutObjectAcl => "REST.PUT.ACL",
            GetObject => "REST.GET.OBJECT",
            HeadObject => "REST.HEAD.OBJECT",
            PutObject | PublishObject => "REST.PUT.OBJECT",
            PostObject => "REST.POST.OBJECT",
            CopyObject => "REST.COPY.OBJECT",
            DeleteObject => "REST.DELETE.OBJECT",
            GetObjectAttributes => "REST.GET.OBJECT_ATTRIBUTES",
            CreateMultipartUpload => "REST.POST.UPLOADS",
            UploadPart => "REST.PUT.PART",
            UploadPartCopy => "REST.COPY.PART",
            CompleteMultipartUpload => "REST.POST.UPLOAD",
            AbortMultipartUpload => "REST.DELETE.UPLOAD",
            ListParts => "REST.GET.UPLOAD",
            RestoreObject => "REST.POST.RESTORE",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_a_setting_is_audited() {
        for operation in Operation::ALL {
            let log_name = operation.log_name();
            let changes = ["REST.PUT.", "REST.DELETE.", "REST.POST."].iter().any(|verb| log_name.starts_with(verb));
            let of_data = ["OBJECT", "MULTI_OBJECT_DELETE", "PART", "UPLOAD", "UPLOADS", "OBJECT_TAGGING", "RESTORE"]
                .iter()
                .any(|what| log_name.ends_with(&format!(".{what}")));
            assert_eq!(operation.audited().is_some(), changes && !of_data, "{log_name}");
        }
    }
}
