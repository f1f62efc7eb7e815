//! What is different about the failing rows of a table.
