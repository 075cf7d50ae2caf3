//! Simulates network latency: a proxy on loopback that delays the bytes of each
//! direction by half of a round trip.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Starts a proxy to `server`, and returns its address. It ends with the process.
pub fn proxy_to(server: &str, round_trip: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = server.to_owned();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(&server).unwrap();
            for stream in [&client, &server] {
                stream.set_nodelay(true).unwrap();
            }
            // Connecting takes another round trip. The proxy cannot delay that, so it
            // delays the first bytes instead.
            forward(&client, &server, round_trip / 2, round_trip);
            forward(&server, &client, round_trip / 2, Duration::ZERO);
        }
    });
    address
}

fn forward(from: &TcpStream, to: &TcpStream, delay: Duration, first: Duration) {
    let (mut from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    let (sender, receiver) = channel();
    let begun = Instant::now() + first;
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let due = Instant::now().max(begun) + delay;
            if sender.send((due, buffer[..length].to_vec())).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || deliver(&receiver, to));
}

fn deliver(receiver: &Receiver<(Instant, Vec<u8>)>, mut to: TcpStream) {
    for (due, bytes) in receiver {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    // The other end may be gone already.
    let _ = to.shutdown(Shutdown::Write);
}
