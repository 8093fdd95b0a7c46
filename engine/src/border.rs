//! The WASM border: one engine in each instance, four buffers that both sides write, plain functions.
//!
//! This is the only file with unsafe code: imports from the host, and exports that the linker must find by name. No
//! pointer from the host is ever followed; the host gets the buffers' places and all lengths are checked here.
//! `README.md` has the layout of every record.

use crate::{Config, Engine, Judge, NUMBERS, ReadStatus, Refused};
use rustls::pki_types::CertificateDer;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes from the host: datagrams, stream data, names.
const INPUT_BYTES: usize = 1 << 18;
/// Bytes to the host: datagrams, stream data, event texts. Sixteen datagrams of 9000 bytes fit.
const OUTPUT_BYTES: usize = 1 << 18;
/// Words of the table that carries records in either direction.
const TABLE_WORDS: usize = 1 << 13;

#[link(wasm_import_module = "host")]
unsafe extern "C" {
    /// Judges a chain (certificates behind u32 lengths) at `ptr`; see [`Judge::judge`].
    fn judge(connection: u32, ptr: *const u8, len: usize) -> u32;
    /// Tells the text of a panic, just before the trap.
    fn panicked(ptr: *const u8, len: usize);
}

/// The system's allocator, with a count of the bytes in use: linear memory never shrinks, so its size does not show them.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        IN_USE.fetch_add(size, Ordering::Relaxed);
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(place, layout, size) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct HostJudge;

impl Judge for HostJudge {
    fn judge(&self, connection: u32, chain: &[CertificateDer<'static>]) -> u8 {
        let mut block = Vec::new();
        for der in chain {
            block.extend_from_slice(&(der.len() as u32).to_le_bytes());
            block.extend_from_slice(der);
        }
        // SAFETY: the host reads `len` bytes at `ptr` during the call, and `block` lives longer than that.
        let verdict = unsafe { judge(connection, block.as_ptr(), block.len()) };
        // Anything odd is a refusal, never an admission by truncation.
        u8::try_from(verdict).unwrap_or(49)
    }
}

/// What both sides write.
struct Buffers {
    input: [u8; INPUT_BYTES],
    output: [u8; OUTPUT_BYTES],
    table: [u32; TABLE_WORDS],
    numbers: [f64; NUMBERS],
    status: [f64; 3],
}

thread_local! {
    /// Zeros, so that they have no place in the file, and a page of them takes memory only once it is written.
    static BUFFERS: RefCell<Buffers> = const {
        RefCell::new(Buffers {
            input: [0; INPUT_BYTES],
            output: [0; OUTPUT_BYTES],
            table: [0; TABLE_WORDS],
            numbers: [0.0; NUMBERS],
            status: [0.0; 3],
        })
    };
    static ENGINE: RefCell<Option<Engine>> = const { RefCell::new(None) };
}

fn buffers<R>(act: impl FnOnce(&mut Buffers) -> R) -> R {
    BUFFERS.with_borrow_mut(act)
}

/// Runs `act` on the engine, and notes how many events wait then; `otherwise` before there is an engine.
fn engine<R>(otherwise: R, act: impl FnOnce(&mut Engine, &mut Buffers) -> R) -> R {
    ENGINE.with_borrow_mut(|engine| match engine {
        None => otherwise,
        Some(engine) => buffers(|b| {
            let result = act(engine, b);
            let [events, ..] = &mut b.status;
            *events = engine.waiting_events() as f64;
            result
        }),
    })
}

/// A whole number that crossed as a double; `None` when it is none, or beyond 2^53.
fn whole(value: f64) -> Option<u64> {
    (value >= 0.0 && value <= 9_007_199_254_740_992.0 && value.fract() == 0.0).then_some(value as u64)
}

fn code(result: Result<(), Refused>) -> i32 {
    result.map_or_else(|refused| refused as i32, |()| 0)
}

fn number(result: Result<u64, Refused>) -> f64 {
    result.map_or_else(|refused| f64::from(refused as i32), |value| value as f64)
}

#[unsafe(no_mangle)]
extern "C" fn input() -> *mut u8 {
    buffers(|b| b.input.as_mut_ptr())
}
#[unsafe(no_mangle)]
extern "C" fn input_bytes() -> usize {
    INPUT_BYTES
}
#[unsafe(no_mangle)]
extern "C" fn output() -> *mut u8 {
    buffers(|b| b.output.as_mut_ptr())
}
#[unsafe(no_mangle)]
extern "C" fn output_bytes() -> usize {
    OUTPUT_BYTES
}
#[unsafe(no_mangle)]
extern "C" fn table() -> *mut u32 {
    buffers(|b| b.table.as_mut_ptr())
}
#[unsafe(no_mangle)]
extern "C" fn table_words() -> usize {
    TABLE_WORDS
}
#[unsafe(no_mangle)]
extern "C" fn numbers() -> *mut f64 {
    buffers(|b| b.numbers.as_mut_ptr())
}
/// After every call: how many events wait. After `poll`: whether there is more to send, and when to call `handle_timeout`.
#[unsafe(no_mangle)]
extern "C" fn status() -> *const f64 {
    buffers(|b| b.status.as_ptr())
}

/// Makes the engine from the numbers and the first `length` bytes of the input. Returns 0, or the length of the reason
/// in the output.
#[unsafe(no_mangle)]
extern "C" fn create(now: f64, length: usize) -> usize {
    std::panic::set_hook(Box::new(|info| {
        let text = info.to_string();
        // SAFETY: the host reads `len` bytes at `ptr` during the call, and `text` lives longer than that.
        unsafe { panicked(text.as_ptr(), text.len()) };
    }));
    buffers(|b| {
        let made = b
            .input
            .get(..length)
            .ok_or_else(|| "cut off".to_owned())
            .and_then(|blob| Config::decode(&b.numbers, blob))
            .and_then(|config| Engine::new(&config, Arc::new(HostJudge), now));
        match made {
            Ok(engine) => {
                ENGINE.set(Some(engine));
                0
            }
            Err(reason) => {
                let length = reason.len().clamp(1, b.output.len());
                if let (Some(target), Some(source)) = (b.output.get_mut(..length), reason.as_bytes().get(..length)) {
                    target.copy_from_slice(source);
                }
                length
            }
        }
    })
}

/// Takes `count` datagrams: records of address, length, ECN in the table, bytes one after the other in the input.
/// Returns how many it took.
#[unsafe(no_mangle)]
extern "C" fn receive(now: f64, count: usize) -> usize {
    engine(0, |engine, b| {
        let mut rest = b.input.as_slice();
        for (done, record) in b.table.chunks_exact(3).take(count).enumerate() {
            let [address, length, ecn] = *record else { return done };
            let Some((datagram, after)) = rest.split_at_checked(length as usize) else { return done };
            engine.receive(now, address, ecn, datagram);
            rest = after;
        }
        count.min(b.table.len() / 3)
    })
}

/// Puts datagrams into the output and their records into the table; returns how many records.
#[unsafe(no_mangle)]
extern "C" fn poll(now: f64) -> usize {
    engine(0, |engine, b| {
        let count = engine.poll(now, &mut b.output, &mut b.table);
        let [_, more, timeout] = &mut b.status;
        *more = f64::from(u8::from(engine.has_more_to_send()));
        *timeout = engine.next_timeout().unwrap_or(f64::INFINITY);
        count
    })
}

/// Puts events into the table and their texts into the output; returns how many.
#[unsafe(no_mangle)]
extern "C" fn events() -> usize {
    engine(0, |engine, b| engine.events(&mut b.table, &mut b.output))
}

/// When to call `handle_timeout`; infinity for never.
#[unsafe(no_mangle)]
extern "C" fn next_timeout() -> f64 {
    engine(f64::INFINITY, |engine, _| engine.next_timeout().unwrap_or(f64::INFINITY))
}

#[unsafe(no_mangle)]
extern "C" fn handle_timeout(now: f64) {
    engine((), |engine, _| engine.handle_timeout(now));
}

#[unsafe(no_mangle)]
extern "C" fn accept(now: f64, incoming: u32, window: u32) -> f64 {
    engine(-1.0, |engine, _| number(engine.accept(now, incoming, window).map(u64::from)))
}
#[unsafe(no_mangle)]
extern "C" fn refuse(incoming: u32) -> bool {
    engine(false, |engine, _| engine.refuse(incoming))
}
#[unsafe(no_mangle)]
extern "C" fn retry(incoming: u32) -> bool {
    engine(false, |engine, _| engine.retry(incoming))
}
#[unsafe(no_mangle)]
extern "C" fn ignore(incoming: u32) -> bool {
    engine(false, |engine, _| engine.ignore(incoming))
}

/// Connects; the input holds the server name, then the ALPN names, of these lengths, where -1 means none given.
#[unsafe(no_mangle)]
extern "C" fn connect(now: f64, address: u32, name_length: i32, alpn_length: i32, window: u32) -> f64 {
    engine(-1.0, |engine, b| {
        let name_end = usize::try_from(name_length).unwrap_or(0);
        let alpn_end = name_end + usize::try_from(alpn_length).unwrap_or(0);
        let (Some(name), Some(alpn)) = (b.input.get(..name_end), b.input.get(name_end..alpn_end)) else {
            return f64::from(Refused::Invalid as i32);
        };
        let Ok(name) = str::from_utf8(name) else { return f64::from(Refused::Invalid as i32) };
        let name = (name_length >= 0).then_some(name);
        let alpn = (alpn_length >= 0).then_some(alpn);
        number(engine.connect(now, address, name, alpn, window).map(u64::from))
    })
}

#[unsafe(no_mangle)]
extern "C" fn close(now: f64, connection: u32, close_code: f64, reason_length: usize) -> bool {
    engine(false, |engine, b| {
        let (Some(close_code), Some(reason)) = (whole(close_code), b.input.get(..reason_length)) else { return false };
        engine.close(now, connection, close_code, reason)
    })
}
#[unsafe(no_mangle)]
extern "C" fn ping(connection: u32) -> bool {
    engine(false, |engine, _| engine.ping(connection))
}
#[unsafe(no_mangle)]
extern "C" fn update_keys(connection: u32) -> bool {
    engine(false, |engine, _| engine.update_keys(connection))
}
#[unsafe(no_mangle)]
extern "C" fn rebind(connection: u32) -> bool {
    engine(false, |engine, _| engine.rebind(connection))
}
#[unsafe(no_mangle)]
extern "C" fn set_windows(connection: u32, receive: u32, send: u32) -> bool {
    engine(false, |engine, _| engine.set_windows(connection, receive, send))
}
#[unsafe(no_mangle)]
extern "C" fn grant(connection: u32) -> bool {
    engine(false, |engine, _| engine.grant(connection))
}
#[unsafe(no_mangle)]
extern "C" fn abandon(connection: u32) -> bool {
    engine(false, |engine, _| engine.abandon(connection))
}
#[unsafe(no_mangle)]
extern "C" fn release(connection: u32) -> bool {
    engine(false, |engine, _| engine.release(connection))
}

#[unsafe(no_mangle)]
extern "C" fn open(connection: u32, uni: bool) -> f64 {
    engine(-1.0, |engine, _| number(engine.open(connection, uni)))
}

/// Writes the first `length` bytes of the input; returns how many were taken, or a negative refusal.
#[unsafe(no_mangle)]
extern "C" fn write(connection: u32, stream: f64, length: usize, fin: bool) -> i32 {
    engine(-1, |engine, b| {
        let (Some(stream), Some(bytes)) = (whole(stream), b.input.get(..length)) else {
            return Refused::Invalid as i32;
        };
        engine.write(connection, stream, bytes, fin).map_or_else(|refused| refused as i32, |n| n as i32)
    })
}

/// Reads up to `max` bytes into the output; returns the length in the lower 24 bits and above them 0 for a full buffer,
/// 1 nothing more yet, 2 finished, 3 reset (the code is the first number), 4 no such stream.
#[unsafe(no_mangle)]
extern "C" fn read(connection: u32, stream: f64, max: usize) -> u32 {
    engine(4 << 24, |engine, b| {
        let max = max.min(b.output.len());
        let (Some(stream), Some(out)) = (whole(stream), b.output.get_mut(..max)) else { return 4 << 24 };
        let (length, status) = engine.read(connection, stream, out);
        let status = match status {
            ReadStatus::More => 0,
            ReadStatus::Blocked => 1,
            ReadStatus::Finished => 2,
            ReadStatus::Reset(reset_code) => {
                if let Some(first) = b.numbers.first_mut() {
                    *first = reset_code as f64;
                }
                3
            }
            ReadStatus::Closed => 4,
        };
        length as u32 | status << 24
    })
}

#[unsafe(no_mangle)]
extern "C" fn reset(connection: u32, stream: f64, reset_code: f64) -> i32 {
    engine(-1, |engine, _| match (whole(stream), whole(reset_code)) {
        (Some(stream), Some(reset_code)) => code(engine.reset(connection, stream, reset_code)),
        _ => Refused::Invalid as i32,
    })
}
#[unsafe(no_mangle)]
extern "C" fn stop(connection: u32, stream: f64, stop_code: f64) -> i32 {
    engine(-1, |engine, _| match (whole(stream), whole(stop_code)) {
        (Some(stream), Some(stop_code)) => code(engine.stop(connection, stream, stop_code)),
        _ => Refused::Invalid as i32,
    })
}
#[unsafe(no_mangle)]
extern "C" fn set_priority(connection: u32, stream: f64, priority: i32) -> i32 {
    engine(-1, |engine, _| match whole(stream) {
        Some(stream) => code(engine.set_priority(connection, stream, priority)),
        None => Refused::Invalid as i32,
    })
}

#[unsafe(no_mangle)]
extern "C" fn send_datagram(connection: u32, length: usize, drop_old: bool) -> i32 {
    engine(-1, |engine, b| match b.input.get(..length) {
        Some(bytes) => code(engine.send_datagram(connection, bytes, drop_old)),
        None => Refused::Invalid as i32,
    })
}
/// The length of the next datagram, now in the output; -1 when there is none.
#[unsafe(no_mangle)]
extern "C" fn receive_datagram(connection: u32) -> i32 {
    engine(-1, |engine, b| engine.receive_datagram(connection, &mut b.output).map_or(-1, |n| n as i32))
}
/// The largest datagram that can be sent; -1 when none can.
#[unsafe(no_mangle)]
extern "C" fn max_datagram(connection: u32) -> i32 {
    engine(-1, |engine, _| engine.max_datagram(connection).map_or(-1, |n| n as i32))
}

/// Fills the numbers with a connection's statistics.
#[unsafe(no_mangle)]
extern "C" fn stats(connection: u32) -> bool {
    engine(false, |engine, b| match engine.stats(connection) {
        Some(values) => {
            b.numbers.iter_mut().zip(values).for_each(|(target, value)| *target = value);
            true
        }
        None => false,
    })
}
/// Bytes in use, of which linear memory is the high-water mark.
#[unsafe(no_mangle)]
extern "C" fn bytes_in_use() -> usize {
    IN_USE.load(Ordering::Relaxed)
}
/// Fills the numbers with what the engine holds.
#[unsafe(no_mangle)]
extern "C" fn gauges() {
    engine((), |engine, b| {
        let values = engine.gauges();
        b.numbers.iter_mut().zip(values).for_each(|(target, value)| *target = value);
    });
}
