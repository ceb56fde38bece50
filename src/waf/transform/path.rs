//! `normalizePath` and `normalizePathWin`.

/// Removes empty segments and `.`, and resolves `..`; a relative path keeps its leading `..`.
pub fn normalize(input: &[u8]) -> Vec<u8> {
    if input.is_empty() {
        return Vec::new();
    }
    let is_relative = input[0] != b'/';
    let has_end_slash = input.ends_with(b"/");
    let mut segments: Vec<&[u8]> = Vec::new();
    for segment in input.split(|byte| *byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => match segments.last() {
                Some(last) if *last != b".." => {
                    segments.pop();
                }
                _ if is_relative => segments.push(segment),
                _ => {}
            },
            _ => segments.push(segment),
        }
    }
    let mut output = Vec::with_capacity(input.len());
    if !is_relative {
        output.push(b'/');
    }
    for (at, segment) in segments.iter().enumerate() {
        if at > 0 {
            output.push(b'/');
        }
        output.extend_from_slice(segment);
    }
    if has_end_slash && !segments.is_empty() {
        output.push(b'/');
    }
    output
}

/// `normalize` of a path whose separators may be backslashes.
pub fn normalize_windows(input: &[u8]) -> Vec<u8> {
    let slashes: Vec<u8> = input.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect();
    normalize(&slashes)
}
