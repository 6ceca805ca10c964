//! Figures: bytes, size and alternative text.
