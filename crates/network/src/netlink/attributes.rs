//! Attributes: (length, type, value), padded to four bytes, nested at will.

/// Set in the type of an attribute that holds attributes.
const NESTED: u16 = 0x8000;

/// The flag bits of an attribute's type.
const TYPE_MASK: u16 = 0x3fff;

/// Attributes being written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attributes(pub(crate) Vec<u8>);

impl Attributes {
    /// One attribute.
    ///
    /// # Panics
    /// Beyond 65,531 bytes, which its length field cannot hold; no caller
    /// writes more than a few thousand.
    pub(crate) fn bytes(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(value.len() + 4).expect("attributes are short");
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    /// A number in the machine's byte order, as routes and links have it.
    pub(crate) fn u32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    /// A number in network byte order, as nftables has it.
    pub(crate) fn be32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// A long number in network byte order.
    pub(crate) fn be64(&mut self, kind: u16, value: u64) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// One byte.
    pub(crate) fn u8(&mut self, kind: u16, value: u8) {
        self.bytes(kind, &[value]);
    }

    /// A string with its final zero.
    pub(crate) fn text(&mut self, kind: u16, value: &str) {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes);
    }

    /// Attributes within one.
    ///
    /// # Panics
    /// As [`bytes`](Self::bytes).
    pub(crate) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.0.len();
        self.0.extend([0; 4]);
        fill(self);
        let length = u16::try_from(self.0.len() - start).expect("attributes are short");
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.0[start + 2..start + 4].copy_from_slice(&(kind | NESTED).to_ne_bytes());
    }
}

/// Reads attributes: type and value of each. Stops where they make no sense.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let [a, b, c, d] = *bytes.first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([c, d]) & TYPE_MASK, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_attributes_read_back() {
        let mut written = Attributes::default();
        written.u8(1, 7);
        written.nest(2, |inner| inner.text(3, "abcd"));
        let outer: Vec<_> = attributes(&written.0).collect();
        assert_eq!(outer[0], (1, &[7][..]));
        assert_eq!(outer[1].0, 2);
        let inner: Vec<_> = attributes(outer[1].1).collect();
        assert_eq!(inner, [(3, &b"abcd\0"[..])]);
    }

    #[test]
    fn nonsense_ends_the_reading() {
        for bytes in [&[][..], &[1], &[3, 0, 1, 0], &[200, 0, 1, 0, 1, 2]] {
            assert_eq!(attributes(bytes).count(), 0, "{bytes:?}");
        }
    }
}
