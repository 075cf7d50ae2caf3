//! A proxy that connects every client to one server, whichever host the client
//! requests. With it, a registry on loopback can replace Docker Hub.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

/// Starts it on loopback, and returns its URL. It ends with the process.
pub fn to_server(server: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = server.to_owned();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = server.clone();
            // Ignore errors: the client sees a closed connection.
            thread::spawn(move || tunnel(&client, &server));
        }
    });
    url
}

/// `CONNECT host:443`, an empty line, and from then on bytes both ways (RFC 9110,
/// section 9.3.6).
fn tunnel(client: &TcpStream, server: &str) -> std::io::Result<()> {
    let mut request = BufReader::new(client.try_clone()?);
    loop {
        let mut line = String::new();
        if request.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
    }
    let server = TcpStream::connect(server)?;
    let mut answer = client.try_clone()?;
    answer.write_all(b"HTTP/1.1 200 Connected\r\n\r\n")?;
    let (mut up, mut down) = (server.try_clone()?, client.try_clone()?);
    let upwards = thread::spawn(move || {
        let copied = std::io::copy(&mut request, &mut up);
        up.shutdown(Shutdown::Write).and(copied)
    });
    std::io::copy(&mut &server, &mut down)?;
    down.shutdown(Shutdown::Both)?;
    let _ = upwards.join();
    Ok(())
}
