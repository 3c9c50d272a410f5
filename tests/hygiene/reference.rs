//! What a strict server makes of bytes: written for clearness, line by line, with nothing of the
//! proxy's code in it. Both sides of the proxy are read with it.

/// A request that is whole and valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    /// In origin form, or `*`.
    pub target: String,
    /// Of the target if that is absolute, else of the field. Empty: HTTP/1.0 without one.
    pub host: String,
    pub body: Vec<u8>,
    pub old: bool,
}

/// They are no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// The first request in the bytes, and how long it is. None: it is not whole yet.
pub fn first(bytes: &[u8]) -> Result<Option<(Request, usize)>, Refused> {
    let mut at = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    let Some(line) = line(bytes, &mut at)? else { return Ok(None) };
    let (method, target, old) = request_line(line)?;
    let mut fields = Vec::new();
    loop {
        match self::line(bytes, &mut at)? {
            None => return Ok(None),
            Some("") => break,
            Some(line) => fields.push(field(line)?),
        }
    }
    let all = |name: &str| fields.iter().filter(|f| f.0 == name).map(|f| f.1.as_str()).collect::<Vec<_>>();
    let host = match all("host").as_slice() {
        [] if old => String::new(),
        [one] if is_host(one) => (*one).to_owned(),
        _ => return Err(Refused),
    };
    let (target, host) = absolute(&target)?.unwrap_or((target, host));
    if !(target.starts_with('/') || (target == "*" && method == "OPTIONS")) {
        return Err(Refused);
    }
    let body = match (all("content-length").as_slice(), all("transfer-encoding").as_slice()) {
        ([], []) => Some(Vec::new()),
        ([length], []) => {
            let length = number(length, 10, 19)?;
            let body = bytes.get(at..at.saturating_add(length)).map(<[u8]>::to_vec);
            at = at.saturating_add(length);
            body
        }
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") && !old => chunks(bytes, &mut at)?,
        _ => return Err(Refused),
    };
    Ok(body.map(|body| (Request { method, target, host, body, old }, at)))
}

/// The next line, and `at` behind it. Latin-1, so that each byte is a character.
fn line<'a>(bytes: &'a [u8], at: &mut usize) -> Result<Option<&'a str>, Refused> {
    let Some(length) = bytes[*at..].iter().position(|b| *b == b'\n') else { return Ok(None) };
    let line = &bytes[*at..*at + length];
    *at += length + 1;
    let line = line.strip_suffix(b"\r").ok_or(Refused)?;
    // Nothing above ASCII is sent but in values; there it is replaced before.
    let text = std::str::from_utf8(line).map_err(|_| Refused)?;
    let fits = text.chars().all(|c| c == '\t' || !c.is_ascii_control());
    if fits { Ok(Some(text)) } else { Err(Refused) }
}

fn is_token(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_graphic() && !"\"(),/:;<=>?@[\\]{}".contains(c);
    !text.is_empty() && text.chars().all(fits)
}

fn request_line(line: &str) -> Result<(String, String, bool), Refused> {
    let words: Vec<_> = line.split(' ').collect();
    let [method, target, version] = words.as_slice() else { return Err(Refused) };
    let old = match *version {
        "HTTP/1.1" => false,
        "HTTP/1.0" => true,
        _ => return Err(Refused),
    };
    let path = target.split('?').next().unwrap();
    let fits = target.chars().all(|c| c.is_ascii_graphic() && !"\"#<>".contains(c)) && !path.contains('`');
    let served = is_token(method) && method.len() <= 32 && *method != "CONNECT" && *method != "TRACE";
    if fits && served { Ok(((*method).to_owned(), (*target).to_owned(), old)) } else { Err(Refused) }
}

fn field(line: &str) -> Result<(String, String), Refused> {
    let (name, value) = line.split_once(':').ok_or(Refused)?;
    if is_token(name) { Ok((name.to_lowercase(), value.trim().to_owned())) } else { Err(Refused) }
}

fn is_host(text: &str) -> bool {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port),
        _ => (text, ""),
    };
    let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let known = match literal {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let name = name.strip_suffix('.').unwrap_or(name);
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
        }
    };
    known && (port.is_empty() || (port.chars().all(|c| c.is_ascii_digit()) && port.parse::<u16>().is_ok()))
}

/// Path and host of an absolute target.
fn absolute(target: &str) -> Result<Option<(String, String)>, Refused> {
    let lower = target.to_ascii_lowercase();
    let Some(scheme) = ["http://", "https://"].into_iter().find(|scheme| lower.starts_with(scheme)) else {
        return Ok(None);
    };
    let rest = &target[scheme.len()..];
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    if is_host(host) { Ok(Some((path, host.to_owned()))) } else { Err(Refused) }
}

fn number(text: &str, base: u32, most: usize) -> Result<usize, Refused> {
    let digits = !text.is_empty() && text.len() <= most && text.chars().all(|c| c.is_digit(base));
    let value = digits.then(|| i64::from_str_radix(text, base).ok()).flatten();
    value.and_then(|value| usize::try_from(value).ok()).ok_or(Refused)
}

fn chunks(bytes: &[u8], at: &mut usize) -> Result<Option<Vec<u8>>, Refused> {
    let mut body = Vec::new();
    loop {
        let Some(line) = line(bytes, at)? else { return Ok(None) };
        let digits = line.split([';', ' ', '\t']).next().unwrap();
        let size = number(digits, 16, 16)?;
        extensions(&line[digits.len()..])?;
        if size == 0 {
            break;
        }
        let Some(data) = bytes.get(*at..at.saturating_add(size)) else { return Ok(None) };
        body.extend_from_slice(data);
        *at += size;
        match bytes.get(*at..*at + 2) {
            None => return Ok(None),
            Some(b"\r\n") => *at += 2,
            Some(_) => return Err(Refused),
        }
    }
    loop {
        match line(bytes, at)? {
            None => return Ok(None),
            Some("") => return Ok(Some(body)),
            Some(line) => drop(field(line)?),
        }
    }
}

/// `;name`, `;name=token`, with blanks around the marks. Quoted values are not sent.
fn extensions(text: &str) -> Result<(), Refused> {
    if text.ends_with([' ', '\t']) {
        return Err(Refused);
    }
    let Some(rest) = text.trim_start_matches([' ', '\t']).strip_prefix(';') else {
        return if text.is_empty() { Ok(()) } else { Err(Refused) };
    };
    for one in rest.split(';') {
        let mut sides = one.splitn(2, '=').map(|side| side.trim_matches([' ', '\t']));
        if !sides.all(is_token) {
            return Err(Refused);
        }
    }
    Ok(())
}
