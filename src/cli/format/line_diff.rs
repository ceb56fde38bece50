//! A unified diff of two texts.

use std::fmt::Write;

/// Unchanged lines around a change.
const CONTEXT: usize = 3;
/// Up to this product of the numbers of lines, the smallest diff is computed; larger changes are one block.
const MAX_CELLS: usize = 16 << 20;

/// A line of the diff.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DiffLine<'t> {
    Same(&'t str),
    Removed(&'t str),
    Added(&'t str),
}

/// The unified diff; empty for equal texts.
pub fn unified_diff(name: &str, old: &str, new: &str) -> String {
    if old == new {
        return String::new();
    }
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let lines = diff(&old, &new);
    let mut text = format!("--- {name}\n+++ {name} (formatted)\n");
    let is_change = |line: &DiffLine| !matches!(line, DiffLine::Same(_));
    let mut at = 0;
    while let Some(first) = lines[at..].iter().position(is_change).map(|n| at + n) {
        let (start, mut end) = (first.saturating_sub(CONTEXT).max(at), first);
        while let Some(next) = lines[end..].iter().position(is_change).filter(|n| *n <= 2 * CONTEXT) {
            end += next + 1;
        }
        let end = (end + CONTEXT).min(lines.len());
        write_hunk(&mut text, &lines, start, end);
        at = end;
    }
    text
}

fn write_hunk(text: &mut String, lines: &[DiffLine], start: usize, end: usize) {
    let old = |lines: &[DiffLine]| lines.iter().filter(|line| !matches!(line, DiffLine::Added(_))).count();
    let new = |lines: &[DiffLine]| lines.iter().filter(|line| !matches!(line, DiffLine::Removed(_))).count();
    let (before, hunk) = (&lines[..start], &lines[start..end]);
    let (old_start, new_start) = (old(before) + 1, new(before) + 1);
    let _ = writeln!(text, "@@ -{old_start},{} +{new_start},{} @@", old(hunk), new(hunk));
    for line in hunk {
        let (sign, line) = match line {
            DiffLine::Same(line) => (' ', line),
            DiffLine::Removed(line) => ('-', line),
            DiffLine::Added(line) => ('+', line),
        };
        let _ = writeln!(text, "{sign}{line}");
    }
}

/// The longest common subsequence between the common start and the common end.
fn diff<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<DiffLine<'t>> {
    let start = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old_rest, new_rest) = (&old[start..], &new[start..]);
    let end = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(a, b)| a == b).count();
    let (removed, added) = (&old_rest[..old_rest.len() - end], &new_rest[..new_rest.len() - end]);
    let mut lines: Vec<DiffLine> = old[..start].iter().map(|line| DiffLine::Same(line)).collect();
    if removed.len().saturating_mul(added.len()) > MAX_CELLS {
        lines.extend(removed.iter().map(|line| DiffLine::Removed(line)));
        lines.extend(added.iter().map(|line| DiffLine::Added(line)));
    } else {
        lines.extend(common_subsequence(removed, added));
    }
    lines.extend(old_rest[old_rest.len() - end..].iter().map(|line| DiffLine::Same(line)));
    lines
}

fn common_subsequence<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<DiffLine<'t>> {
    let width = new.len() + 1;
    let mut lengths = vec![0_u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            lengths[i * width + j] = match old[i] == new[j] {
                true => lengths[(i + 1) * width + j + 1] + 1,
                false => lengths[(i + 1) * width + j].max(lengths[i * width + j + 1]),
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push(DiffLine::Same(old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len()
            || i < old.len() && lengths[(i + 1) * width + j] >= lengths[i * width + j + 1]
        {
            lines.push(DiffLine::Removed(old[i]));
            i += 1;
        } else {
            lines.push(DiffLine::Added(new[j]));
            j += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_have_their_context_and_line_numbers() {
        let old = "a\nb\nc\nd\ne\nf\ng\nh\ni\n";
        let new = "a\nb\nc\nd\nE\nf\ng\nh\ni\n";
        let expected = "--- x\n+++ x (formatted)\n@@ -2,7 +2,7 @@\n b\n c\n d\n-e\n+E\n f\n g\n h\n";
        assert_eq!(unified_diff("x", old, new), expected);
        assert_eq!(unified_diff("x", old, old), "");
    }
}
