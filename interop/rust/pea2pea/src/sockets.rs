//! Bare sockets and threads, as iperf3 has them: the control of the benches. `sink` reads and forgets, `blast` writes.

use std::{
    io::{BufRead, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::say;

const READ_BYTES: usize = 131_072;

pub fn run() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    say(&format!("\"listening\",\"addr\":\"{}\"", listener.local_addr().unwrap()));
    let received = Arc::new(AtomicU64::new(0));
    let expected = Arc::new((Mutex::new(u64::MAX), Condvar::new()));
    let (counter, waited) = (received.clone(), expected.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, counter, waited) = (stream.unwrap(), counter.clone(), waited.clone());
            std::thread::spawn(move || {
                let mut buffer = vec![0u8; READ_BYTES];
                while let Ok(length) = stream.read(&mut buffer) {
                    if length == 0 {
                        break;
                    }
                    let total = counter.fetch_add(length as u64, Ordering::Relaxed) + length as u64;
                    let mut expected = waited.0.lock().unwrap();
                    if total >= *expected {
                        *expected = u64::MAX;
                        say(&format!("\"received\",\"count\":{total}"));
                    }
                }
            });
        }
    });

    let mut streams: Vec<TcpStream> = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
        match words.first().copied().unwrap_or("") {
            "spawn" => {
                for _ in 0..number(2) {
                    let stream = TcpStream::connect(words[1]).unwrap();
                    stream.set_nodelay(true).unwrap();
                    streams.push(stream);
                }
                say("\"connected\"");
            }
            // In bytes.
            "expect" => {
                received.store(0, Ordering::Relaxed);
                *expected.0.lock().unwrap() = number(1);
                say("\"expecting\"");
            }
            "flood" => {
                let (size, count) = (number(1) as usize, number(2));
                let threads: Vec<_> = streams
                    .iter()
                    .map(|stream| {
                        let mut stream = stream.try_clone().unwrap();
                        std::thread::spawn(move || {
                            let bytes = vec![7u8; size];
                            for _ in 0..count {
                                stream.write_all(&bytes).unwrap();
                            }
                        })
                    })
                    .collect();
                for thread in threads {
                    thread.join().unwrap();
                }
                say("\"flooded\"");
            }
            _ => break,
        }
    }
    std::process::exit(0);
}
