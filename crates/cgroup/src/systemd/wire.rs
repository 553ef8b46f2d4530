//! D-Bus messages: values to bytes, and bytes to values.
//!
//! Just the types that systemd's manager is asked and answers with. What is
//! read comes from another process: every length is checked against what is
//! there, nothing is allocated for what is only announced, and whatever does
//! not fit is [`Malformed`], never a panic.
//!
//! Source: D-Bus Specification 0.43, "Type System", "Marshaling (Wire
//! Format)" and "Message Protocol".

/// One value. An array names the signature of its elements, which it may lack.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "named as in the specification")]
pub enum Value {
    Byte(u8),
    Bool(bool),
    Int32(i32),
    Uint32(u32),
    Int64(i64),
    Uint64(u64),
    Double(f64),
    Text(String),
    Path(String),
    Signature(String),
    Array(String, Vec<Value>),
    Struct(Vec<Value>),
    Variant(Box<Value>),
}

/// What in a message made no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

/// Bytes of a message that tell how long it is.
pub(super) const HEAD: usize = 16;

/// The largest message that is read, in bytes. What systemd answers has some
/// hundreds; the protocol's own limit of 128 MiB is for others.
const LARGEST: usize = 1 << 20;

/// Little-endian: on one machine everybody speaks its order.
const ENDIAN: u8 = b'l';
const VERSION: u8 = 1;

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Call,
    Return,
    Error,
    Signal,
    /// "Unknown types must be ignored."
    Unknown,
}

/// Whom a call is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Method {
    pub destination: &'static str,
    pub path: &'static str,
    pub interface: &'static str,
    pub member: &'static str,
}

impl Value {
    /// A string.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// The type, as the protocol spells it.
    pub fn signature(&self) -> String {
        match self {
            Self::Byte(_) => "y".into(),
            Self::Bool(_) => "b".into(),
            Self::Int32(_) => "i".into(),
            Self::Uint32(_) => "u".into(),
            Self::Int64(_) => "x".into(),
            Self::Uint64(_) => "t".into(),
            Self::Double(_) => "d".into(),
            Self::Text(_) => "s".into(),
            Self::Path(_) => "o".into(),
            Self::Signature(_) => "g".into(),
            Self::Array(element, _) => format!("a{element}"),
            Self::Struct(fields) => format!("({})", signature(fields)),
            Self::Variant(_) => "v".into(),
        }
    }
}

fn signature(values: &[Value]) -> String {
    values.iter().map(Value::signature).collect()
}

/// Where a value of this type may begin: at a multiple of this.
fn alignment(code: u8) -> usize {
    match code {
        b'y' | b'g' | b'v' => 1,
        b'x' | b't' | b'd' | b'(' | b'{' => 8,
        _ => 4,
    }
}

/// Bytes under way.
#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn pad(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn put(&mut self, value: &Value) {
        self.pad(alignment(value.signature().as_bytes()[0]));
        match value {
            Value::Byte(byte) => self.0.push(*byte),
            Value::Bool(yes) => self.0.extend(u32::from(*yes).to_le_bytes()),
            Value::Int32(number) => self.0.extend(number.to_le_bytes()),
            Value::Uint32(number) => self.0.extend(number.to_le_bytes()),
            Value::Int64(number) => self.0.extend(number.to_le_bytes()),
            Value::Uint64(number) => self.0.extend(number.to_le_bytes()),
            Value::Double(number) => self.0.extend(number.to_le_bytes()),
            Value::Text(text) | Value::Path(text) => {
                self.0.extend(length(text.len()).to_le_bytes());
                self.0.extend(text.as_bytes());
                self.0.push(0);
            }
            Value::Signature(text) => self.put_signature(text),
            Value::Array(element, items) => self.put_array(element, items),
            Value::Struct(fields) => fields.iter().for_each(|field| self.put(field)),
            Value::Variant(inner) => {
                self.put_signature(&inner.signature());
                self.put(inner);
            }
        }
    }

    fn put_signature(&mut self, text: &str) {
        self.0.push(u8::try_from(text.len()).expect("our signatures are short"));
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    /// The length counts the elements, and not the gap before the first.
    fn put_array(&mut self, element: &str, items: &[Value]) {
        let at = self.0.len();
        self.0.extend([0; 4]);
        self.pad(alignment(element.as_bytes()[0]));
        let begin = self.0.len();
        for item in items {
            self.put(item);
        }
        let bytes = length(self.0.len() - begin).to_le_bytes();
        self.0[at..at + 4].copy_from_slice(&bytes);
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("we write no gigabytes")
}

/// A call, ready to be sent.
pub(super) fn call(serial: u32, method: Method, arguments: &[Value]) -> Vec<u8> {
    let mut body = Writer::default();
    for argument in arguments {
        body.put(argument);
    }
    let text = |text: &str| Value::Text(text.into());
    let mut fields = vec![
        (1, Value::Path(method.path.into())),
        (2, text(method.interface)),
        (3, text(method.member)),
        (6, text(method.destination)),
    ];
    if !arguments.is_empty() {
        fields.push((8, Value::Signature(signature(arguments))));
    }
    let fields = fields
        .into_iter()
        .map(|(code, value)| Value::Struct(vec![Value::Byte(code), Value::Variant(value.into())]));
    let mut message = Writer(vec![ENDIAN, 1, 0, VERSION]);
    message.put(&Value::Uint32(length(body.0.len())));
    message.put(&Value::Uint32(serial));
    message.put(&Value::Array("(yv)".into(), fields.collect()));
    message.pad(8);
    message.0.extend(body.0);
    message.0
}

/// A message that was read. A name that it does not carry is empty.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Message {
    pub kind: Kind,
    pub path: String,
    pub interface: String,
    pub member: String,
    pub error: String,
    pub sender: String,
    /// The serial of the call that it answers.
    pub answers: Option<u32>,
    signature: String,
    body: Vec<u8>,
}

impl Message {
    /// How many bytes follow the first [`HEAD`].
    pub fn rest(head: &[u8; HEAD]) -> Result<usize, Malformed> {
        if head[0] != ENDIAN {
            return Err(Malformed("another byte order"));
        }
        if head[3] != VERSION {
            return Err(Malformed("another version of the protocol"));
        }
        let word = |at: usize| {
            let bytes = head[at..at + 4].try_into().expect("four bytes");
            usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX)
        };
        let (body, fields) = (word(4), word(12));
        if body > LARGEST || fields > LARGEST {
            return Err(Malformed("it is too long"));
        }
        Ok(fields.next_multiple_of(8) + body)
    }

    /// A whole message.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let head = bytes.first_chunk().ok_or(Malformed("it is too short"))?;
        if bytes.len() - HEAD != Self::rest(head)? {
            return Err(Malformed("it is not as long as it says"));
        }
        let mut reader = Reader { bytes, at: 4 };
        let body = reader.u32()? as usize;
        reader.u32()?;
        let end = reader.u32()? as usize + HEAD;
        let mut message = Self {
            kind: match bytes[1] {
                1 => Kind::Call,
                2 => Kind::Return,
                3 => Kind::Error,
                4 => Kind::Signal,
                _ => Kind::Unknown,
            },
            path: String::new(),
            interface: String::new(),
            member: String::new(),
            error: String::new(),
            sender: String::new(),
            answers: None,
            signature: String::new(),
            body: bytes[bytes.len() - body..].to_vec(),
        };
        while reader.at < end {
            message.field(&mut reader)?;
        }
        if reader.at == end { Ok(message) } else { Err(Malformed("a field is too long")) }
    }

    fn field(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        reader.pad(8)?;
        let code = reader.byte()?;
        let signature = reader.signature()?;
        let [kind] = signature.as_bytes() else { return Err(Malformed("a field is no word")) };
        match (code, reader.basic(*kind)?) {
            (1, Value::Path(path)) => self.path = path,
            (2, Value::Text(name)) => self.interface = name,
            (3, Value::Text(name)) => self.member = name,
            (4, Value::Text(name)) => self.error = name,
            (5, Value::Uint32(serial)) => self.answers = Some(serial),
            (7, Value::Text(name)) => self.sender = name,
            (8, Value::Signature(signature)) => self.signature = signature,
            (1..=5 | 7 | 8, _) => return Err(Malformed("a field is of another type")),
            // The destination, and what later versions add.
            _ => {}
        }
        Ok(())
    }

    /// The arguments, up to the first that is no number and no text.
    pub fn arguments(&self) -> Result<Vec<Value>, Malformed> {
        let mut reader = Reader { bytes: &self.body, at: 0 };
        let basic = self.signature.bytes().take_while(|code| b"ybiuxtdsog".contains(code));
        basic.map(|code| reader.basic(code)).collect()
    }
}

/// A place in bytes that somebody else wrote.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn pad(&mut self, to: usize) -> Result<(), Malformed> {
        let gap = self.at.next_multiple_of(to) - self.at;
        if self.take(gap)?.iter().all(|&byte| byte == 0) {
            Ok(())
        } else {
            Err(Malformed("a gap that is not empty"))
        }
    }

    fn take(&mut self, count: usize) -> Result<&[u8], Malformed> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest.get(..count).ok_or(Malformed("it ends within a value"))?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.pad(N)?;
        Ok(self.take(N)?.try_into().expect("as many as asked for"))
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    fn signature(&mut self) -> Result<String, Malformed> {
        let length = self.byte()?.into();
        self.words(length)
    }

    /// Text and the zero after it.
    fn words(&mut self, length: usize) -> Result<String, Malformed> {
        let text = self.take(length)?.to_vec();
        if self.byte()? != 0 || text.contains(&0) {
            return Err(Malformed("a text does not end where it says"));
        }
        String::from_utf8(text).map_err(|_| Malformed("a text is not UTF-8"))
    }

    fn basic(&mut self, code: u8) -> Result<Value, Malformed> {
        Ok(match code {
            b'y' => Value::Byte(self.byte()?),
            b'b' => match self.u32()? {
                0 => Value::Bool(false),
                1 => Value::Bool(true),
                _ => return Err(Malformed("neither true nor false")),
            },
            b'i' => Value::Int32(self.array().map(i32::from_le_bytes)?),
            b'u' => Value::Uint32(self.u32()?),
            b'x' => Value::Int64(self.array().map(i64::from_le_bytes)?),
            b't' => Value::Uint64(self.array().map(u64::from_le_bytes)?),
            b'd' => Value::Double(self.array().map(f64::from_le_bytes)?),
            b's' | b'o' => {
                let length = self.u32()? as usize;
                let text = self.words(length)?;
                if code == b's' { Value::Text(text) } else { Value::Path(text) }
            }
            b'g' => Value::Signature(self.signature()?),
            _ => return Err(Malformed("a type that is not expected")),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    const METHOD: Method =
        Method { destination: "a.b", path: "/a", interface: "a.b.C", member: "Do" };

    /// A message as a peer would send it.
    pub fn written(kind: u8, fields: &[(u8, Value)], body: &[Value]) -> Vec<u8> {
        let mut bytes = Writer::default();
        for value in body {
            bytes.put(value);
        }
        let mut fields = fields.to_vec();
        if !body.is_empty() {
            fields.push((8, Value::Signature(signature(body))));
        }
        let fields = fields.into_iter().map(|(code, value)| {
            Value::Struct(vec![Value::Byte(code), Value::Variant(value.into())])
        });
        let mut message = Writer(vec![ENDIAN, kind, 0, VERSION]);
        message.put(&Value::Uint32(length(bytes.0.len())));
        message.put(&Value::Uint32(7));
        message.put(&Value::Array("(yv)".into(), fields.collect()));
        message.pad(8);
        message.0.extend(bytes.0);
        message.0
    }

    fn answer() -> Vec<u8> {
        let fields = [(5, Value::Uint32(3)), (7, Value::text(":1.0")), (6, Value::text(":1.9"))];
        written(2, &fields, &[Value::Path("/job/1".into()), Value::Uint32(9)])
    }

    #[test]
    fn a_call_is_laid_out_as_the_specification_says() {
        // Checked by hand against "Message Format".
        let bytes = call(1, METHOD, &[Value::text("x")]);
        #[rustfmt::skip]
        let expected = [
            b'l', 1, 0, 1,  6, 0, 0, 0,  1, 0, 0, 0,  71, 0, 0, 0,
            1, 1, b'o', 0,  2, 0, 0, 0,  b'/', b'a', 0, 0, 0, 0, 0, 0,
            2, 1, b's', 0,  5, 0, 0, 0,  b'a', b'.', b'b', b'.', b'C', 0, 0, 0,
            3, 1, b's', 0,  2, 0, 0, 0,  b'D', b'o', 0, 0, 0, 0, 0, 0,
            6, 1, b's', 0,  3, 0, 0, 0,  b'a', b'.', b'b', 0, 0, 0, 0, 0,
            8, 1, b'g', 0,  1, b's', 0, 0,
            1, 0, 0, 0, b'x', 0,
        ];
        assert_eq!(bytes, expected);
    }

    #[test]
    fn the_length_of_an_array_leaves_out_the_gap_before_it() {
        let mut writer = Writer::default();
        writer.put(&Value::Array("t".into(), vec![Value::Uint64(5)]));
        assert_eq!(writer.0, [8, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
        let mut writer = Writer::default();
        writer.put(&Value::Array("(ss)".into(), Vec::new()));
        assert_eq!(writer.0, [0; 8], "an empty one has the gap, too");
    }

    #[test]
    fn a_signature_names_every_part() {
        let pair = Value::Struct(vec![Value::text("a"), Value::Variant(Value::Bool(true).into())]);
        let value = Value::Array("(sv)".into(), vec![pair]);
        assert_eq!(value.signature(), "a(sv)");
    }

    #[test]
    fn an_answer_is_read_back() {
        let message = Message::parse(&answer()).expect("well formed");
        assert_eq!((message.kind, message.answers), (Kind::Return, Some(3)));
        assert_eq!(message.sender, ":1.0");
        let arguments = message.arguments().expect("well formed");
        assert_eq!(arguments, [Value::Path("/job/1".into()), Value::Uint32(9)]);
    }

    #[test]
    fn a_length_that_is_only_announced_is_refused() {
        let mut head: [u8; HEAD] = *answer().first_chunk().expect("longer");
        head[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(Message::rest(&head).is_err());
        head[4..8].copy_from_slice(&0_u32.to_le_bytes());
        head[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(Message::rest(&head).is_err());
    }

    #[test]
    fn another_byte_order_is_refused_and_not_misread() {
        let mut bytes = answer();
        bytes[0] = b'B';
        assert_eq!(Message::parse(&bytes), Err(Malformed("another byte order")));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(message) = Message::parse(&bytes) {
                let _ = message.arguments();
            }
        }

        #[test]
        fn no_change_to_an_answer_makes_the_reader_panic(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = answer();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
                if let Ok(message) = Message::parse(bytes) {
                    let _ = message.arguments();
                }
            }
        }

        #[test]
        fn texts_and_numbers_come_back_as_they_went(
            text in "[^\0]{0,40}", number in any::<u64>(), byte in any::<u8>(), yes in any::<bool>(),
        ) {
            let body = [
                Value::Byte(byte), Value::Uint64(number), Value::Bool(yes), Value::Text(text),
            ];
            let message = Message::parse(&written(4, &[], &body)).expect("well formed");
            prop_assert_eq!(message.arguments().expect("well formed"), body);
        }
    }
}
