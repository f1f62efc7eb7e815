//! OTLP as bytes, written so that it is known where each field came to stand.

/// A protobuf message that is being written.
#[derive(Default)]
pub(crate) struct Message(pub(crate) Vec<u8>);

impl Message {
    pub(crate) fn number(&mut self, field: u8, value: u64) {
        self.tag(field, 0);
        self.varint(value);
    }

    /// Returns where the eight bytes stand.
    pub(crate) fn fixed(&mut self, field: u8, value: u64) -> usize {
        self.tag(field, 1);
        self.0.extend_from_slice(&value.to_le_bytes());
        self.0.len() - 8
    }

    /// A text, some bytes or a message within; returns where its bytes begin.
    pub(crate) fn bytes(&mut self, field: u8, bytes: &[u8]) -> usize {
        self.tag(field, 2);
        self.varint(bytes.len() as u64);
        let at = self.0.len();
        self.0.extend_from_slice(bytes);
        at
    }

    /// A key with a text; returns where the text begins.
    pub(crate) fn text_attribute(&mut self, field: u8, key: &str, value: &str) -> usize {
        let mut any = Message::default();
        let in_any = any.bytes(1, value.as_bytes());
        let mut pair = Message::default();
        pair.bytes(1, key.as_bytes());
        let in_pair = pair.bytes(2, &any.0);
        self.bytes(field, &pair.0) + in_pair + in_any
    }

    pub(crate) fn number_attribute(&mut self, field: u8, key: &str, value: u64) {
        let mut any = Message::default();
        any.number(3, value);
        let mut pair = Message::default();
        pair.bytes(1, key.as_bytes());
        pair.bytes(2, &any.0);
        self.bytes(field, &pair.0);
    }

    fn tag(&mut self, field: u8, wire_type: u8) {
        self.varint(u64::from(field) << 3 | u64::from(wire_type));
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// A request of one resource with one scope: `records` stand in it as they are. Returns where they begin.
pub(crate) fn request(service: &str, instance: &str, records: &[u8]) -> (Vec<u8>, usize) {
    let mut resource = Message::default();
    resource.text_attribute(1, "service.name", service);
    resource.text_attribute(1, "service.instance.id", instance);
    resource.text_attribute(1, "service.namespace", "shop");
    resource.text_attribute(1, "service.version", "2026.11.3");
    resource.text_attribute(1, "deployment.environment.name", "production");
    let mut name = Message::default();
    name.bytes(1, b"shop.telemetry");
    let mut scope = Message::default();
    scope.bytes(1, &name.0);
    let in_scope = scope.0.len();
    scope.0.extend_from_slice(records);
    let mut of_resource = Message::default();
    of_resource.bytes(1, &resource.0);
    let in_resource = of_resource.bytes(2, &scope.0);
    let mut request = Message::default();
    let in_request = request.bytes(1, &of_resource.0);
    (request.0, in_request + in_resource + in_scope)
}

/// Spreads small numbers over the whole range; never 0 for what is sent here.
pub(crate) fn scatter(n: u64) -> u64 {
    let mut x = n.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (x ^ (x >> 31)) | 1
}
