//! The state store behaves alike wherever it is kept: the same tests against a directory, memory and Azurite.

use std::collections::BTreeSet;

use spwatch::state::{Location, Reread, State};

use crate::azurite::Azurite;

/// Every promise of the store, on one that is empty.
async fn conforms(state: &State) {
    creates_once(state).await;
    replaces_what_was_seen(state).await;
    lists_and_removes(state).await;
    settles_races(state).await;
}

async fn creates_once(state: &State) {
    assert!(state.read("once/a").await.unwrap().is_none());
    assert!(!state.exists("once/a").await.unwrap());
    let created = state.create("once/a", b"1".to_vec()).await.unwrap();
    assert!(
        state
            .create("once/a", b"2".to_vec())
            .await
            .unwrap()
            .is_none()
    );
    assert!(state.exists("once/a").await.unwrap());
    let found = state.read("once/a").await.unwrap().unwrap();
    assert_eq!(&*found.bytes, b"1");
    assert_eq!(Some(found.version), created);
    state.write("once/a", b"3".to_vec()).await.unwrap();
    let found = state.read("once/a").await.unwrap().unwrap();
    assert_eq!(&*found.bytes, b"3");
    let large = vec![b'x'; 300_000];
    state.write("once/a", large.clone()).await.unwrap();
    let found = state.read("once/a").await.unwrap().unwrap();
    assert_eq!(&*found.bytes, large);
}

async fn replaces_what_was_seen(state: &State) {
    state.create("swap/a", b"1".to_vec()).await.unwrap();
    let first = state.read("swap/a").await.unwrap().unwrap();
    let replaced = state
        .replace("swap/a", b"2".to_vec(), &first.version)
        .await
        .unwrap();
    // Of the same length and in the same moment: it was changed all the same.
    assert!(
        state
            .replace("swap/a", b"3".to_vec(), &first.version)
            .await
            .unwrap()
            .is_none()
    );
    let second = state.read("swap/a").await.unwrap().unwrap();
    assert_eq!(&*second.bytes, b"2");
    assert_eq!(Some(&second.version), replaced.as_ref());
    assert_eq!(
        state.read_again("swap/a", replaced.as_ref()).await.unwrap(),
        Reread::Same
    );
    state.remove("swap/a").await.unwrap();
    assert!(
        state
            .replace("swap/a", b"4".to_vec(), &second.version)
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(
        state.read_again("swap/a", replaced.as_ref()).await.unwrap(),
        Reread::Gone
    );
    assert!(state.read("swap/a").await.unwrap().is_none());
}

async fn lists_and_removes(state: &State) {
    let names = ["list/a", "list/b/c", "list/b/d.json", "listed/e"];
    for name in names {
        assert!(state.create(name, Vec::new()).await.unwrap().is_some());
    }
    let listed = |found: Vec<spwatch::state::Listed>| -> BTreeSet<String> {
        found.into_iter().map(|found| found.name).collect()
    };
    let found = state.list("list").await.unwrap();
    let now = chrono::Utc::now();
    assert!(
        found
            .iter()
            .all(|found| (now - found.modified).num_seconds().abs() < 60)
    );
    let found = listed(found);
    assert_eq!(
        found,
        names[..3].iter().map(|name| (*name).into()).collect()
    );
    for name in found {
        state.remove(&name).await.unwrap();
        state.remove(&name).await.unwrap();
    }
    assert!(state.list("list").await.unwrap().is_empty());
    assert!(state.list("nothing").await.unwrap().is_empty());
    assert!(state.exists("listed/e").await.unwrap());
}

/// Nobody's change is lost, whoever is faster.
async fn settles_races(state: &State) {
    let writers = (0..6_u32).map(|writer| {
        let state = state.clone();
        tokio::spawn(async move {
            for step in 0..4 {
                let added = writer * 100 + step;
                // Who loses too often in a row tries again later, as the host would.
                while state
                    .change("race/a", |seen: Option<BTreeSet<u32>>| {
                        let mut seen = seen.unwrap_or_default();
                        seen.insert(added);
                        (Some(seen), ())
                    })
                    .await
                    .is_err()
                {}
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let read = |seen: Option<BTreeSet<u32>>| (None, seen.unwrap());
    let seen = state.change("race/a", read).await.unwrap();
    assert_eq!(seen.len(), 24);
}

#[tokio::test]
async fn memory_conforms() {
    conforms(&State::open(&Location::Memory).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_directory_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Directory(folder.path().join("not/there/yet"));
    conforms(&State::open(&location).unwrap()).await;
    // Another instance sees the same.
    let other = State::open(&location).unwrap();
    assert_eq!(
        &other.read("race/a").await.unwrap().unwrap().bytes[..1],
        b"["
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn azure_blobs_conform() {
    let azurite = Azurite::start().await;
    azurite.create_container("state").await;
    for prefix in ["", "/some/prefix"] {
        let location = format!("az://state{prefix}");
        let location = Location::read(&location, &azurite.settings()).unwrap();
        conforms(&State::open(&location).unwrap()).await;
    }
}

#[tokio::test]
async fn a_container_that_is_not_there_is_said_so() {
    let azurite = Azurite::start().await;
    let location = Location::read("az://nowhere", &azurite.settings()).unwrap();
    let state = State::open(&location).unwrap();
    let error = state.create("a", Vec::new()).await.unwrap_err();
    let text = format!("{:#}", anyhow::Error::from(error));
    assert!(text.contains("ContainerNotFound"), "{text}");
    assert!(!text.contains("Eby8vdM02"), "{text}");
}

#[tokio::test]
async fn a_store_that_is_away_is_an_error_soon() {
    let lookup = |name: &str| {
        let text = "AccountName=devstoreaccount1;AccountKey=AAAA;BlobEndpoint=http://127.0.0.1:9/devstoreaccount1";
        (name == "AzureWebJobsStorage").then(|| text.to_owned())
    };
    let state = State::open(&Location::read("az://state", &lookup).unwrap()).unwrap();
    let started = std::time::Instant::now();
    assert!(state.exists("a").await.is_err());
    assert!(started.elapsed().as_secs() < 60);
}
