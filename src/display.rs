//! How every public value shows itself in a notebook cell and in a terminal: the only file that prints.
