//! A directory with one person for tests: binds and searches, in the little of BER that they need.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ADA: &str = "uid=ada,dc=example";

/// Starts the directory; answers its port.
pub(crate) async fn start() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    port
}

/// One element: tag, then its content.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        length @ 0..128 => out.push(length as u8),
        length => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    out.extend(content);
    out
}

/// Splits the first element off: tag, content, rest.
fn take(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, first) = (*bytes.first()?, *bytes.get(1)?);
    let (start, length) = if first < 128 {
        (2, usize::from(first))
    } else {
        let count = usize::from(first & 0x7f);
        let length = bytes
            .get(2..2 + count)?
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        (2 + count, length)
    };
    Some((tag, bytes.get(start..start + length)?, &bytes[start + length..]))
}

async fn serve(mut stream: TcpStream) {
    let mut buffer = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let Ok(length @ 1..) = stream.read(&mut chunk).await else {
            return;
        };
        buffer.extend(&chunk[..length]);
        while let Some((_, message, rest)) = take(&buffer) {
            let answer = answer(message);
            buffer = rest.to_vec();
            if stream.write_all(&answer).await.is_err() {
                return;
            }
        }
    }
}

fn result(id: &[u8], tag: u8, code: u8) -> Vec<u8> {
    let body = [element(0x0a, &[code]), element(4, b""), element(4, b"")].concat();
    element(0x30, &[element(2, id), element(tag, &body)].concat())
}

fn answer(message: &[u8]) -> Vec<u8> {
    let (_, id, rest) = take(message).unwrap();
    let (operation, body, _) = take(rest).unwrap();
    match operation {
        0x60 => {
            let (_, _, rest) = take(body).unwrap();
            let (_, dn, rest) = take(rest).unwrap();
            let (_, password, _) = take(rest).unwrap();
            let good = [
                (&b"cn=app"[..], &b"app-password"[..]),
                (ADA.as_bytes(), b"ada-password"),
            ];
            result(id, 0x61, if good.contains(&(dn, password)) { 0 } else { 49 })
        }
        0x63 => {
            // The filter holds the name as a value of its own.
            let found = body.windows(5).any(|bytes| bytes == b"\x04\x03ada");
            let mut out = if found { entry(id) } else { Vec::new() };
            out.extend(result(id, 0x65, 0));
            out
        }
        _ => Vec::new(),
    }
}

fn entry(id: &[u8]) -> Vec<u8> {
    let attributes: &[(&str, &[&str])] = &[
        ("uid", &["Ada"]),
        ("MAIL", &["Ada@example.com", "second@example.com"]),
        ("cn", &["Ada Lovelace"]),
        (
            "memberOf",
            &[r"CN=Sales\, EMEA,OU=Groups", "cn=Staff,dc=example", "ou=nameless"],
        ),
    ];
    let attributes: Vec<u8> = attributes
        .iter()
        .flat_map(|(name, values)| {
            let values: Vec<u8> = values
                .iter()
                .flat_map(|value| element(4, value.as_bytes()))
                .collect();
            element(
                0x30,
                &[element(4, name.as_bytes()), element(0x31, &values)].concat(),
            )
        })
        .collect();
    let body = [element(4, ADA.as_bytes()), element(0x30, &attributes)].concat();
    element(0x30, &[element(2, id), element(0x64, &body)].concat())
}
