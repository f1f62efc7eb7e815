//! What changed, and which of it could have caused a failure.
