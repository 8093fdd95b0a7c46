//! ChaCha20-Poly1305 (RFC 8439) on one buffer that the caller fills: see `src/crypto/wasm-aead.ts`, the only caller.
//! The crate has no state between calls; it never allocates.

#![no_std]

use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};
use core::ptr::addr_of_mut;

/// Where the parts of a call stand in the buffer.
const NONCE: usize = 32;
const ASSOCIATED: usize = 48;
const DATA: usize = 112;
const TAG_BYTES: usize = 16;
/// The largest data of a call, its tag not counted.
const MAX_DATA: usize = 16_384;
const BUFFER_BYTES: usize = DATA + MAX_DATA + TAG_BYTES;

static mut BUFFER: [u8; BUFFER_BYTES] = [0; BUFFER_BYTES];

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}

/// The parts of the buffer that a call works on.
struct Parts {
    cipher: ChaCha20Poly1305,
    nonce: [u8; 12],
    associated: &'static [u8],
    data: &'static mut [u8],
    tag: &'static mut [u8; TAG_BYTES],
}

/// The parts for these lengths; `None` when they do not fit.
fn parts(associated: usize, data: usize) -> Option<Parts> {
    // SAFETY: WASM has one thread, and no call of this crate runs within another one.
    let buffer: &'static mut [u8; BUFFER_BYTES] = unsafe { &mut *addr_of_mut!(BUFFER) };
    let (head, rest) = buffer.split_at_mut(DATA);
    let key: &[u8; NONCE] = head.first_chunk()?;
    let cipher = ChaCha20Poly1305::new(key.into());
    let nonce = *head.get(NONCE..)?.first_chunk()?;
    let (data, rest) = rest.split_at_mut_checked(data)?;
    let tag = rest.first_chunk_mut()?;
    Some(Parts { cipher, nonce, associated: head.get(ASSOCIATED..ASSOCIATED + associated)?, data, tag })
}

/// Where the buffer starts.
#[unsafe(no_mangle)]
pub extern "C" fn buffer() -> *mut u8 {
    addr_of_mut!(BUFFER).cast()
}

/// Encrypts the data in place and writes the tag behind it. Returns whether it was done.
#[unsafe(no_mangle)]
pub extern "C" fn seal(associated: usize, data: usize) -> bool {
    let Some(Parts { cipher, nonce, associated, data, tag }) = parts(associated, data) else { return false };
    let Ok(made) = cipher.encrypt_inout_detached(&nonce.into(), associated, data.into()) else { return false };
    *tag = made.into();
    true
}

/// Checks the tag behind the data, and decrypts the data in place. Returns whether the tag is right; if not, nothing changes.
#[unsafe(no_mangle)]
pub extern "C" fn open(associated: usize, data: usize) -> bool {
    let Some(Parts { cipher, nonce, associated, data, tag }) = parts(associated, data) else { return false };
    let tag = (*tag).into();
    cipher.decrypt_inout_detached(&nonce.into(), associated, data.into(), &tag).is_ok()
}
