//! An image of our own binary runs, and is made once.

use crate::harness::{Spec, Yard};

#[tokio::test]
async fn the_image_of_a_binary_is_made_once_and_runs() {
    let yard = Yard::new().await;
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_squall"));
    let id = |image: String| {
        let api = yard.api.clone();
        async move { api.inspect_image(&image).await.unwrap().id }
    };
    let repository = yard.image.split(':').next().unwrap().to_owned();
    let again = yard.docker.image_of(program, &repository).await.unwrap();
    assert_eq!(again, yard.image);
    let first = id(yard.image.clone()).await;
    yard.docker.image_of(program, &repository).await.unwrap();
    assert_eq!(id(yard.image.clone()).await, first, "the same one, not another one of the same name");

    let container = yard.start("probe", Spec::default()).await;
    yard.until(&container, "up", squall::model::instance::Instance::is_up).await;
    let found = yard.api.inspect_image(&yard.image).await.unwrap();
    assert_eq!(found.config.unwrap().entrypoint.unwrap(), [squall::engine::docker::PROGRAM]);
}

#[tokio::test]
async fn what_is_no_program_makes_no_image() {
    let yard = Yard::new().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = yard.docker.image_of(file.path(), "squall-test-none").await.unwrap_err().to_string();
    assert!(error.contains(&file.path().display().to_string()) && error.contains("ELF"), "{error}");
}
