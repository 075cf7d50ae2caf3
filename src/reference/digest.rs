//! Content digests, as the OCI image spec writes them (section "Digests").

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use sha2::{Digest as _, Sha256, Sha512};

use crate::text::{Quoted, deserialize_as_text};

/// Digits of the longest digest.
const LONGEST_HEX: usize = 128;

/// A registered digest algorithm of the OCI image spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// `sha256`: 64 hexadecimal digits.
    Sha256,
    /// `sha512`: 128 hexadecimal digits.
    Sha512,
}

impl Algorithm {
    const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

/// `algorithm:hex`, with lower-case hexadecimal digits of the algorithm's length.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(Value);

/// Holds bytes, not text, to save memory: a table may have hundreds of thousands of digests.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Value {
    Sha256([u8; 32]),
    Sha512(Box<[u8; 64]>),
}

/// Why a text is not a [`Digest`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid digest {}: {reason}", Quoted(input))]
pub struct DigestError {
    input: String,
    reason: &'static str,
}

impl Digest {
    /// The digest of `content` under `algorithm`.
    pub fn of(algorithm: Algorithm, content: &[u8]) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => Value::Sha256(Sha256::digest(content).into()),
            Algorithm::Sha512 => Value::Sha512(Box::new(Sha512::digest(content).into())),
        })
    }

    /// The SHA-256 digest of what `content` writes, without holding it all in memory.
    ///
    /// # Errors
    /// If `content` fails.
    pub fn of_written(content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<Self> {
        let mut hasher = Hashing(io::sink(), Sha256::new());
        content(&mut hasher)?;
        Ok(Self(Value::Sha256(hasher.1.finalize().into())))
    }

    /// The SHA-256 digest of what `read` reads of `content`.
    ///
    /// # Errors
    /// If `read` fails.
    pub fn of_read(
        content: impl Read,
        read: impl FnOnce(&mut dyn Read) -> io::Result<()>,
    ) -> io::Result<Self> {
        let mut hasher = Hashing(content, Sha256::new());
        read(&mut hasher)?;
        Ok(Self(Value::Sha256(hasher.1.finalize().into())))
    }

    /// Whether `content` has this digest.
    pub fn matches(&self, content: &[u8]) -> bool {
        Self::of(self.algorithm(), content) == *self
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            Value::Sha256(_) => Algorithm::Sha256,
            Value::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// The first twelve hexadecimal digits, for messages.
    pub fn short(&self) -> impl fmt::Display + use<> {
        let mut first = [0; 6];
        first.copy_from_slice(&self.bytes()[..6]);
        HexDisplay(first)
    }

    fn bytes(&self) -> &[u8] {
        match &self.0 {
            Value::Sha256(bytes) => bytes,
            Value::Sha512(bytes) => &**bytes,
        }
    }
}

/// Computes a [`Digest`] of content that comes in chunks.
#[cfg(feature = "refresh")]
pub(crate) enum Hasher {
    Sha256(Sha256),
    Sha512(Sha512),
}

#[cfg(feature = "refresh")]
impl Hasher {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            Algorithm::Sha512 => Self::Sha512(Sha512::new()),
        }
    }

    pub(crate) fn update(&mut self, chunk: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(chunk),
            Self::Sha512(hasher) => hasher.update(chunk),
        }
    }

    /// The digest of all chunks.
    pub(crate) fn finish(self) -> Digest {
        Digest(match self {
            Self::Sha256(hasher) => Value::Sha256(hasher.finalize().into()),
            Self::Sha512(hasher) => Value::Sha512(Box::new(hasher.finalize().into())),
        })
    }
}

/// A reader or writer that hashes what passes through it.
struct Hashing<T>(T, Sha256);

impl<T: Read> Read for Hashing<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.0.read(buffer)?;
        self.1.update(&buffer[..length]);
        Ok(length)
    }
}

impl<T: Write> Write for Hashing<T> {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        let length = self.0.write(part)?;
        self.1.update(&part[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Bytes in lower-case hexadecimal digits.
struct HexDisplay<T>(T);

impl<T: AsRef<[u8]>> fmt::Display for HexDisplay<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; LONGEST_HEX];
        let digits = base16ct::lower::encode_str(self.0.as_ref(), &mut digits);
        f.write_str(digits.map_err(|_| fmt::Error)?)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(input: &str) -> Result<Self, DigestError> {
        let error = |reason| DigestError {
            input: input.to_owned(),
            reason,
        };
        let value = if let Some(hex) = input.strip_prefix("sha256:") {
            let bytes = decode(hex).map(Value::Sha256);
            bytes.ok_or_else(|| error("'sha256:' takes 64 lower-case hexadecimal digits"))
        } else if let Some(hex) = input.strip_prefix("sha512:") {
            let bytes = decode(hex).map(|bytes| Value::Sha512(Box::new(bytes)));
            bytes.ok_or_else(|| error("'sha512:' takes 128 lower-case hexadecimal digits"))
        } else {
            Err(error("it must start with 'sha256:' or 'sha512:'"))
        };
        Ok(Self(value?))
    }
}

/// `N` bytes from twice as many lower-case digits.
fn decode<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let length = base16ct::lower::decode(hex, &mut bytes).ok()?.len();
    (length == N).then_some(bytes)
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.algorithm().name())?;
        f.write_str(":")?;
        HexDisplay(self.bytes()).fmt(f)
    }
}

deserialize_as_text!(Digest, "a digest such as \"sha256:...\"");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hashes_as_the_standards_say() {
        // FIPS 180-4 examples for the message "abc".
        assert_eq!(
            Digest::of(Algorithm::Sha256, b"abc").to_string(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert!(
            Digest::of(Algorithm::Sha512, b"abc")
                .to_string()
                .starts_with("sha512:ddaf35a193617abacc417349ae204131")
        );
    }

    #[test]
    fn refuses_malformed_digests() {
        for input in [
            "",
            "sha256:",
            "sha256",
            "md5:d41d8cd98f00b204e9800998ecf8427e",
            &format!("sha256:{}", "A".repeat(64)),
            &format!("sha256:{}", "a".repeat(63)),
            &format!("sha512:{}", "a".repeat(64)),
            &format!(" sha256:{}", "a".repeat(64)),
        ] {
            let error = input.parse::<Digest>().unwrap_err().to_string();
            assert!(error.contains("sha"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn parse_of_print_is_the_identity(content: Vec<u8>, long: bool) {
            let algorithm = if long { Algorithm::Sha512 } else { Algorithm::Sha256 };
            let digest = Digest::of(algorithm, &content);
            prop_assert_eq!(digest.to_string().parse::<Digest>(), Ok(digest.clone()));
            prop_assert!(digest.matches(&content));
        }
    }
}
