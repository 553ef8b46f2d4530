//! Layers into a copy-on-write root and back: the safe tar reader and writer
