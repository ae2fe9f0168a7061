//! Operations on tables of keys and values, and their bytes. Pure: `parse_ops` takes anything (it is fuzzed).

/// One mutation. Keys are at most 65,535 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    Set { table: u8, key: Vec<u8>, value: Vec<u8> },
    Del { table: u8, key: Vec<u8> },
}

/// An operation as it lies in a batch or a sorted file. `value` None: the key is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpRef<'a> {
    pub table: u8,
    pub key: &'a [u8],
    pub value: Option<&'a [u8]>,
}

/// kind, table, key length (u16), value length (u32)
const HEAD: usize = 8;
const SET: u8 = 1;
const DEL: u8 = 2;

impl Op {
    pub fn as_ref(&self) -> OpRef<'_> {
        match self {
            Op::Set { table, key, value } => OpRef { table: *table, key, value: Some(value) },
            Op::Del { table, key } => OpRef { table: *table, key, value: None },
        }
    }
}

impl OpRef<'_> {
    pub fn into_owned(self) -> Op {
        match self.value {
            Some(value) => Op::Set { table: self.table, key: self.key.to_vec(), value: value.to_vec() },
            None => Op::Del { table: self.table, key: self.key.to_vec() },
        }
    }

    pub fn encoded_len(&self) -> usize {
        HEAD + self.key.len() + self.value.map_or(0, <[u8]>::len)
    }

    /// False (and nothing written) where the key or value is too long for the format.
    #[must_use]
    pub fn encode(&self, out: &mut Vec<u8>) -> bool {
        let value = self.value.unwrap_or_default();
        let (Ok(key_len), Ok(value_len)) = (u16::try_from(self.key.len()), u32::try_from(value.len())) else { return false };
        out.extend_from_slice(&[if self.value.is_some() { SET } else { DEL }, self.table]);
        out.extend_from_slice(&key_len.to_le_bytes());
        out.extend_from_slice(&value_len.to_le_bytes());
        out.extend_from_slice(self.key);
        out.extend_from_slice(value);
        true
    }
}

/// The first operation of `bytes` and what follows it. None: not one.
pub fn parse_op(bytes: &[u8]) -> Option<(OpRef<'_>, &[u8])> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let [kind, table, k0, k1, v0, v1, v2, v3] = *head else { return None };
    let (key, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes([k0, k1])))?;
    let (value, rest) = rest.split_at_checked(u32::from_le_bytes([v0, v1, v2, v3]) as usize)?;
    let value = match kind {
        SET => Some(value),
        DEL if value.is_empty() => None,
        _ => return None,
    };
    Some((OpRef { table, key, value }, rest))
}

/// All operations of a section. None: the bytes are no such list.
pub fn parse_ops(mut bytes: &[u8]) -> Option<Vec<OpRef<'_>>> {
    let mut ops = Vec::new();
    while !bytes.is_empty() {
        let (op, rest) = parse_op(bytes)?;
        ops.push(op);
        bytes = rest;
    }
    Some(ops)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(ops in proptest::collection::vec((any::<u8>(), any::<Vec<u8>>(), any::<Option<Vec<u8>>>()), 0..20)) {
            let mut bytes = Vec::new();
            for (table, key, value) in &ops {
                let op = OpRef { table: *table, key, value: value.as_deref() };
                prop_assert!(op.encode(&mut bytes));
            }
            let read = parse_ops(&bytes).unwrap();
            prop_assert_eq!(read.len(), ops.len());
            for (r, (table, key, value)) in read.iter().zip(&ops) {
                prop_assert_eq!(*r, OpRef { table: *table, key, value: value.as_deref() });
            }
        }

        #[test]
        fn any_bytes_are_safe(bytes in any::<Vec<u8>>()) {
            let _ = parse_ops(&bytes);
        }
    }
}
