//! The Noise example of pea2pea by its own Noise library, snow: `listen` answers each message with `you said …` and its text,
//! `dial ADDR` sends two messages and prints what comes back. A message is a record: two bytes of length, big-endian, then the
//! sealed text. Everything on loopback.

use std::io::{Error, Read, Result, Write};
use std::net::{TcpListener, TcpStream};

use snow::{Builder, TransportState};

const SUITE: &str = "Noise_XXpsk3_25519_ChaChaPoly_BLAKE2s";
const PSK: &[u8; 32] = b"I dont care for codes of conduct";

fn fault(error: snow::Error) -> Error {
    Error::other(error.to_string())
}

fn send(stream: &mut TcpStream, message: &[u8]) -> Result<()> {
    let mut framed = (message.len() as u16).to_be_bytes().to_vec();
    framed.extend_from_slice(message);
    stream.write_all(&framed)
}

fn receive(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message)?;
    Ok(message)
}

/// The handshake, in either role, with empty payloads and a static key of its own.
fn shake(stream: &mut TcpStream, initiator: bool) -> Result<TransportState> {
    let keys = Builder::new(SUITE.parse().map_err(fault)?).generate_keypair().map_err(fault)?;
    let builder = Builder::new(SUITE.parse().map_err(fault)?).local_private_key(&keys.private).psk(3, PSK);
    let built = if initiator { builder.build_initiator() } else { builder.build_responder() };
    let mut noise = built.map_err(fault)?;
    let mut buffer = vec![0; 65_535];
    while !noise.is_handshake_finished() {
        if noise.is_my_turn() {
            let length = noise.write_message(&[], &mut buffer).map_err(fault)?;
            send(stream, &buffer[..length])?;
        } else {
            noise.read_message(&receive(stream)?, &mut buffer).map_err(fault)?;
        }
    }
    noise.into_transport_mode().map_err(fault)
}

fn seal(noise: &mut TransportState, text: &[u8]) -> Result<Vec<u8>> {
    let mut sealed = vec![0; text.len() + 16];
    let length = noise.write_message(text, &mut sealed).map_err(fault)?;
    sealed.truncate(length);
    Ok(sealed)
}

fn open(noise: &mut TransportState, sealed: &[u8]) -> Result<Vec<u8>> {
    let mut text = vec![0; sealed.len()];
    let length = noise.read_message(sealed, &mut text).map_err(fault)?;
    text.truncate(length);
    Ok(text)
}

fn answer(mut stream: TcpStream) -> Result<()> {
    let mut noise = shake(&mut stream, false)?;
    loop {
        let text = open(&mut noise, &receive(&mut stream)?)?;
        let said = [b"you said ", text.as_slice()].concat();
        let sealed = seal(&mut noise, &said)?;
        send(&mut stream, &sealed)?;
    }
}

fn dial(addr: &str) -> Result<()> {
    let mut stream = TcpStream::connect(addr)?;
    let mut noise = shake(&mut stream, true)?;
    for text in ["first", "second"] {
        let sealed = seal(&mut noise, text.as_bytes())?;
        send(&mut stream, &sealed)?;
        let said = open(&mut noise, &receive(&mut stream)?)?;
        println!("{}", String::from_utf8_lossy(&said));
    }
    Ok(())
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["listen"] => {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            println!("listening on {}", listener.local_addr()?);
            for stream in listener.incoming() {
                if let Err(error) = answer(stream?) {
                    println!("ended: {error}");
                }
            }
            Ok(())
        }
        ["dial", addr] => dial(addr),
        _ => Err(Error::other("usage: noise-xxpsk3-peer listen | dial ADDR")),
    }
}
