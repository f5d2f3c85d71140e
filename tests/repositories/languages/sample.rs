//! Crate.
/// Adds.
///
/// More
#[inline]
#[must_use]
pub(crate) async unsafe fn add<'a, T: Into<u8>>(a: &'a T) -> u8 where T: Copy { let x = 1; x + 1 }
mod inner { pub fn f() { fn nested() {} nested() } }
impl<'a, T> fmt::Display for Wrapper<'a, T> where T: X { fn fmt(&self) -> R { match self { A => 1, B => { 2 } } } }
impl Iterator for &mut [u8] { fn next(&mut self) {} }
trait Shape { fn area(&self) -> f64; fn twice(&self) -> f64 { self.area() * 2.0 } }
macro_rules! m { () => { fn not_me() {} } }
const fn k() -> u8 { 'b' as u8 }
extern "C" { fn c_abi(x: i32); }
#[cfg(test)]
mod tests { use super::*; #[test] fn it_works() { assert!(true); } fn helper() {} }
fn raw() -> &'static str { r#"fn fake() { " }"# }
pub fn r#try() {}
