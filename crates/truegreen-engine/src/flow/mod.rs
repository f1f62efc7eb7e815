//! Contract text to compiled flow.
