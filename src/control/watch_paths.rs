//! Where a change of a file can be seen: its directory, and the directory of every symbolic link on the way to it.
//! Editors rename a new file into place, Kubernetes swaps the link `..data`, deployments swap `current`; none of
//! these touch the file that was read.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// A directory to watch, and the name in it that matters; none when all of them do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WatchPath {
    pub directory: PathBuf,
    pub name: Option<PathBuf>,
}

/// Links followed on the way to one file; more is a loop.
const MAX_SYMLINKS: usize = 40;

/// Every place where a change of one of these files or directories shows.
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

/// Walks down a path; says where it ends once every link is resolved, none when it leads nowhere.
fn resolve_links(path: &Path, places: &mut BTreeSet<WatchPath>, links: &mut usize) -> Option<PathBuf> {
    let mut here = PathBuf::from("/");
    let components: Vec<_> = path.components().collect();
    for (at, component) in components.iter().enumerate() {
        match component {
            Component::ParentDir => drop(here.pop()),
            Component::Normal(name) => {
                let next = here.join(name);
                let last = at + 1 == components.len();
                match fs::read_link(&next) {
                    Ok(target) => {
                        places.insert(WatchPath { directory: here.clone(), name: Some(name.into()) });
                        *links += 1;
                        here = (*links <= MAX_SYMLINKS)
                            .then(|| resolve_links(&here.join(target), places, links))??;
                    }
                    Err(_) if last || !next.exists() => {
                        places.insert(WatchPath { directory: here.clone(), name: Some(name.into()) });
                        here = next;
                    }
                    Err(_) => here = next,
                }
            }
            _ => {}
        }
    }
    Some(here)
}

/// What tells one state of a file from another without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFingerprint(Vec<Option<(u64, u64, i64, i64)>>);

impl FileFingerprint {
    /// The state of all these; a directory counts with everything in it.
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
    fn a_file_shows_in_its_directory_even_before_it_exists() {
        let (_keep, root) = folder();
        assert_eq!(names(&[root.join("gateway.json")], &root), ["/gateway.json"]);
        fs::write(root.join("gateway.json"), "{}").unwrap();
        assert_eq!(names(&[root.join("gateway.json")], &root), ["/gateway.json"]);
    }

    #[test]
    fn a_directory_shows_with_all_names_in_it() {
        let (_keep, root) = folder();
        fs::create_dir(root.join("policies")).unwrap();
        assert_eq!(names(&[root.join("policies")], &root), ["/policies", "policies/*"]);
    }

    #[test]
    fn every_link_on_the_way_is_a_place() {
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
    fn links_that_lead_in_a_circle_end() {
        let (_keep, root) = folder();
        symlink("b", root.join("a")).unwrap();
        symlink("a", root.join("b")).unwrap();
        assert_eq!(names(&[root.join("a")], &root), ["/a", "/b"]);
    }

    #[test]
    fn a_stamp_differs_when_a_file_is_replaced() {
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
