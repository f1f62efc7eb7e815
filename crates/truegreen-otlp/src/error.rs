//! A request that is no OTLP: refused whole, never to be retried as it is.

/// Where and why the bytes are malformed (HTTP 400, gRPC `INVALID_ARGUMENT`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("malformed OTLP at byte {offset}: {kind}")]
pub struct Error {
    /// Byte of the body at which the walk stopped.
    pub offset: usize,
    /// What was wrong there.
    pub kind: ErrorKind,
}

/// What was wrong with the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum ErrorKind {
    /// A field announces more bytes than there are.
    #[error("a field is cut short (hint: the body lost its end, or is not an OTLP request)")]
    Truncated,
    /// A variable-length integer runs past ten bytes or 64 bits.
    #[error("an integer is longer than 64 bits")]
    Varint,
    /// Field number 0, or one beyond 29 bits.
    #[error("a field has no valid number")]
    FieldNumber,
    /// Wire type 6 or 7.
    #[error("a field has no valid wire type")]
    WireType,
    /// A field that OTLP defines, encoded as another type.
    #[error("field {field} has the wrong type (hint: is this the path of another signal?)")]
    WrongType {
        /// Number of the field in its message.
        field: u32,
    },
    /// A group ends that did not begin.
    #[error("a group ends that did not begin")]
    Group,
    /// Messages or groups nested deeper than 100.
    #[error("messages are nested deeper than 100")]
    TooDeep,
    /// A body of 4 GiB or more.
    #[error("the body is larger than 4 GiB")]
    TooLarge,
    /// The body begins like JSON.
    #[error("the body looks like JSON (hint: send it with content-type: application/json)")]
    LooksLikeJson,
    /// The body begins like gzip or zstd.
    #[error("the body looks compressed (hint: name the compression in content-encoding)")]
    LooksCompressed,
}

impl ErrorKind {
    /// The kind as a label of a metric, in snake_case.
    pub const fn name(self) -> &'static str {
        match self {
            ErrorKind::Truncated => "truncated",
            ErrorKind::Varint => "varint",
            ErrorKind::FieldNumber => "field_number",
            ErrorKind::WireType => "wire_type",
            ErrorKind::WrongType { .. } => "wrong_type",
            ErrorKind::Group => "group",
            ErrorKind::TooDeep => "too_deep",
            ErrorKind::TooLarge => "too_large",
            ErrorKind::LooksLikeJson => "looks_like_json",
            ErrorKind::LooksCompressed => "looks_compressed",
        }
    }
}

/// An error still tied to an address, so that the walk need not carry offsets around.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    address: usize,
    kind: ErrorKind,
}

impl Fault {
    #[cold]
    pub(crate) fn at(rest: &[u8], kind: ErrorKind) -> Fault {
        Fault { address: rest.as_ptr().addr(), kind }
    }

    /// The error as seen from the whole body, which `rest` was part of.
    #[cold]
    pub(crate) fn within(self, body: &[u8]) -> Error {
        // A body that is something else altogether fails at some arbitrary field; the beginning says what it is.
        let kind = match body {
            [b'{', ..] => ErrorKind::LooksLikeJson,
            [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] => ErrorKind::LooksCompressed,
            _ => self.kind,
        };
        Error { offset: self.address.saturating_sub(body.as_ptr().addr()).min(body.len()), kind }
    }
}
