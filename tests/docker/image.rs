//! An image of our own binary runs, and is made once.

use crate::harness::{Sandbox, Spec};

#[tokio::test]
async fn the_image_of_a_binary_is_made_once_and_runs() {
    let sandbox = Sandbox::new().await;
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_squall"));
    let id = |image: String| {
        let api = sandbox.api.clone();
        async move { api.inspect_image(&image).await.unwrap().id }
    };
    let repository = sandbox.image.split(':').next().unwrap().to_owned();
    let again = sandbox.docker.image_of(program, &repository).await.unwrap();
    assert_eq!(again, sandbox.image);
    let first = id(sandbox.image.clone()).await;
    sandbox.docker.image_of(program, &repository).await.unwrap();
    assert_eq!(id(sandbox.image.clone()).await, first, "the same one, not another one of the same name");

    let container = sandbox.start("probe", Spec::default()).await;
    sandbox.until(&container, "up", squall::model::instance::Instance::is_up).await;
    let found = sandbox.api.inspect_image(&sandbox.image).await.unwrap();
    assert_eq!(found.config.unwrap().entrypoint.unwrap(), [squall::engine::docker::PROGRAM]);
}

#[tokio::test]
async fn what_is_no_program_makes_no_image() {
    let sandbox = Sandbox::new().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = sandbox.docker.image_of(file.path(), "squall-test-none").await.unwrap_err().to_string();
    assert!(error.contains(&file.path().display().to_string()) && error.contains("ELF"), "{error}");
}
