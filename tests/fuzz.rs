//! Damaged bodies: what reads them never panics, and says the same of them as other readers of JSON do. Those parts of the
//! crate that nobody outside sees have tests of this kind of their own, in modules of the same name.

mod parsers;
mod wire;
