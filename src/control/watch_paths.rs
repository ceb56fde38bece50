//! The directories in which a change of a file is visible: its own, and that of every symbolic link on the path to it.
//! Editors rename a new file into place, Kubernetes swaps the link `..data`, deployments swap `current`; none of these
//! modify the file that was read.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// A directory to watch, and the relevant file name in it; `None` for all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WatchPath {
    pub directory: PathBuf,
    pub name: Option<PathBuf>,
}

/// Maximum number of links on the path to one file; more are a loop.
const MAX_SYMLINKS: usize = 40;

/// All directories in which a change of one of these files or directories is visible.
pub fn for_paths<'p>(paths: impl IntoIterator<Item = &'p PathBuf>) -> BTreeSet<WatchPath> {
    let mut places = BTreeSet::new();
    for path in paths {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        if let Some(end) = resolve_links(&absolute, &mut places, &mut 0)
            && end.is_dir()
        {
            places.insert(WatchPath { directory: end, name: None });
        }
    }
    places
}

/// Resolves all links of a path and records the directories; `None` if the path leads nowhere.
fn resolve_links(path: &Path, places: &mut BTreeSet<WatchPath>, links: &mut usize) -> Option<PathBuf> {
    let mut resolved = PathBuf::from("/");
    let components: Vec<_> = path.components().collect();
    for (at, component) in components.iter().enumerate() {
        match component {
            Component::ParentDir => drop(resolved.pop()),
            Component::Normal(name) => {
                let next = resolved.join(name);
                let last = at + 1 == components.len();
                match fs::read_link(&next) {
                    Ok(target) => {
                        places.insert(WatchPath { directory: resolved.clone(), name: Some(name.into()) });
                        *links += 1;
                        resolved = (*links <= MAX_SYMLINKS)
                            .then(|| resolve_links(&resolved.join(target), places, links))??;
                    }
                    Err(_) if last || !next.exists() => {
                        places.insert(WatchPath { directory: resolved.clone(), name: Some(name.into()) });
                        resolved = next;
                    }
                    Err(_) => resolved = next,
                }
            }
            _ => {}
        }
    }
    Some(resolved)
}

/// The state of files, compared without reading them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFingerprint(Vec<Option<(u64, u64, i64, i64)>>);

impl FileFingerprint {
    /// The state of these files; a directory includes its entries.
    pub fn for_paths(paths: &[PathBuf]) -> FileFingerprint {
        let mut stamps = Vec::new();
        for path in paths {
            stamps.push(stamp(path));
            let mut inside: Vec<_> =
                fs::read_dir(path).into_iter().flatten().flatten().map(|e| e.path()).collect();
            inside.sort();
            stamps.extend(inside.iter().map(|p| stamp(p)));
        }
        FileFingerprint(stamps)
    }
}

fn stamp(path: &Path) -> Option<(u64, u64, i64, i64)> {
    fs::metadata(path).ok().map(|m| (m.ino(), m.len(), m.mtime(), m.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn names(paths: &[PathBuf], root: &Path) -> Vec<String> {
        let root = root.canonicalize().unwrap();
        let show = |p: WatchPath| {
            let name = p.name.map_or("*".into(), |n| n.display().to_string());
            Some(format!("{}/{name}", p.directory.strip_prefix(&root).ok()?.display()))
        };
        for_paths(paths).into_iter().filter_map(show).collect()
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        (folder, path)
    }

    #[test]
    fn a_file_is_watched_in_its_directory_even_before_it_exists() {
        let (_keep, root) = folder();
        assert_eq!(names(&[root.join("gateway.json")], &root), ["/gateway.json"]);
        fs::write(root.join("gateway.json"), "{}").unwrap();
        assert_eq!(names(&[root.join("gateway.json")], &root), ["/gateway.json"]);
    }

    #[test]
    fn a_directory_is_watched_with_all_its_entries() {
        let (_keep, root) = folder();
        fs::create_dir(root.join("policies")).unwrap();
        assert_eq!(names(&[root.join("policies")], &root), ["/policies", "policies/*"]);
    }

    #[test]
    fn the_directory_of_every_link_is_watched() {
        let (_keep, root) = folder();
        fs::create_dir(root.join("..v1")).unwrap();
        fs::write(root.join("..v1/gateway.json"), "{}").unwrap();
        symlink("..v1", root.join("..data")).unwrap();
        symlink("..data/gateway.json", root.join("gateway.json")).unwrap();
        assert_eq!(
            names(&[root.join("gateway.json")], &root),
            ["/..data", "/..v1", "/gateway.json", "..v1/gateway.json"]
        );
    }

    #[test]
    fn circular_links_terminate() {
        let (_keep, root) = folder();
        symlink("b", root.join("a")).unwrap();
        symlink("a", root.join("b")).unwrap();
        assert_eq!(names(&[root.join("a")], &root), ["/a", "/b"]);
    }

    #[test]
    fn a_fingerprint_changes_when_a_file_is_replaced() {
        let (_keep, root) = folder();
        let file = root.join("gateway.json");
        fs::write(&file, "{}").unwrap();
        let before = FileFingerprint::for_paths(std::slice::from_ref(&file));
        assert_eq!(before, FileFingerprint::for_paths(std::slice::from_ref(&file)));
        fs::write(root.join("new"), "[]").unwrap();
        fs::rename(root.join("new"), &file).unwrap();
        assert_ne!(before, FileFingerprint::for_paths(&[file]));
    }
}
