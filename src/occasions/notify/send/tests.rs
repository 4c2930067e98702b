//! Every kind of recipient on this machine: what arrives, how often it is tried, and what is said when it does not.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::*;
use crate::occasions::notify::{PagerDuty, Webhook, example};

/// What a receiver does with a request.
#[derive(Clone, Copy)]
enum Then {
    Answer(&'static str),
    HangUp,
    Silence,
}

/// Does with each request what it was told, the last of it again and again, and keeps what it got.
struct Receiver {
    port: u16,
    got: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Receiver {
    async fn new(script: &'static [Then]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let got = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        let keep = Arc::clone(&got);
        tasks.spawn(async move {
            let mut silent = Vec::new();
            for i in 0.. {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                let request = request(&mut stream).await;
                keep.lock().unwrap().push(request);
                match script[i.min(script.len() - 1)] {
                    Then::Answer(head) => {
                        let answer = format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                    Then::HangUp => {}
                    Then::Silence => silent.push(stream),
                }
            }
        });
        Self { port, got, _tasks: tasks }
    }

    fn webhook(&self) -> Recipient {
        webhook(&format!("http://127.0.0.1:{}/hooks/${{TOKEN}}", self.port))
    }

    fn got(&self) -> Vec<String> {
        self.got.lock().unwrap().clone()
    }
}

/// A whole request: its head, and as much body as that says.
async fn request(stream: &mut TcpStream) -> String {
    let (mut text, mut chunk) = (String::new(), [0; 4096]);
    loop {
        let n = stream.read(&mut chunk).await.unwrap();
        text += std::str::from_utf8(&chunk[..n]).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")).unwrap();
        if n == 0 || body.len() >= length.parse().unwrap() {
            return text;
        }
    }
}

fn webhook(url: &str) -> Recipient {
    Recipient::Webhook(Webhook { url: Text(url.to_owned()), secret: Some(Text("${TOKEN}".to_owned())) })
}

/// No test waits long for what it knows not to come.
const QUICK: RetryPolicy = RetryPolicy {
    attempts: 3,
    attempt: Duration::from_secs(20),
    pause: Duration::from_millis(1),
    total: Duration::from_secs(30),
};

async fn tell(recipient: Recipient, retries: RetryPolicy) -> Sent {
    let lookup = |name: &str| (name == "TOKEN").then(|| "s3cret".to_owned()).ok_or(Absent::Unset);
    let sent = all(&[recipient], &example(), retries, lookup).await.remove(0);
    assert!(!format!("{sent:?}").contains("s3cret"), "{sent:?}");
    sent
}

fn body(request: &str) -> &str {
    request.split_once("\r\n\r\n").unwrap().1
}

#[tokio::test]
async fn what_fails_for_a_while_is_tried_again_and_is_the_same_message() {
    let receiver = Receiver::new(&[Then::Answer("503 Busy"), Then::HangUp, Then::Answer("202 Accepted")]).await;
    let sent = tell(receiver.webhook(), QUICK).await;
    assert_eq!(sent, Sent { recipient: "webhook 127.0.0.1".to_owned(), attempts: 3, error: None });
    let got = receiver.got();
    assert_eq!(got.len(), 3);
    assert!(got[0].starts_with("POST /hooks/s3cret HTTP/1.1\r\n"), "{}", got[0]);
    assert!(got[0].contains("\r\ncontent-type: application/json\r\n"), "{}", got[0]);
    assert!(got[0].contains("\r\nsquall-signature: sha256="), "{}", got[0]);
    assert!(got.iter().all(|request| request == &got[0]), "{got:?}");
    assert_eq!(body(&got[0]), json::line(&example()));
}

#[tokio::test]
async fn what_never_answers_is_given_up() {
    let receiver = Receiver::new(&[Then::Silence]).await;
    let retries = RetryPolicy { attempt: Duration::from_millis(50), ..QUICK };
    let sent = tell(receiver.webhook(), retries).await;
    assert_eq!((sent.attempts, sent.error.as_deref()), (3, Some("no answer within 50ms")));
    let retries = RetryPolicy { total: Duration::from_millis(80), pause: Duration::from_mins(1), ..QUICK };
    let sent = tell(receiver.webhook(), retries).await;
    assert_eq!(sent.attempts, 1);
    assert!(sent.error.unwrap().starts_with("no answer within "));
}

#[tokio::test]
async fn a_refusal_is_not_tried_again() {
    for (head, want) in [
        ("404 Not Found", "the answer was status 404: is the URL still right?"),
        ("400 Bad Request", "the answer was status 400"),
        ("302 Found\r\nlocation: /s3cret", "the answer was status 302: name the URL that it leads to"),
    ] {
        let script = Box::leak(Box::new([Then::Answer(head), Then::Answer("200 OK")]));
        let receiver = Receiver::new(script).await;
        let sent = tell(receiver.webhook(), QUICK).await;
        assert_eq!((sent.attempts, sent.error.as_deref()), (1, Some(want)));
        assert_eq!(receiver.got().len(), 1, "{head}");
    }
}

#[tokio::test]
async fn who_is_asked_to_wait_waits_or_gives_up() {
    let busy = "429 Too Many Requests\r\nretry-after: 1";
    let receiver = Receiver::new(Box::leak(Box::new([Then::Answer(busy), Then::Answer("200 OK")]))).await;
    let began = std::time::Instant::now();
    assert_eq!(tell(receiver.webhook(), QUICK).await.attempts, 2);
    assert!(began.elapsed() >= Duration::from_secs(1));

    let receiver = Receiver::new(&[Then::Answer("429 Too Many Requests\r\nretry-after: 120")]).await;
    let sent = tell(receiver.webhook(), QUICK).await;
    let want = "the answer was status 429; it would have had to wait 2m for the next attempt";
    assert_eq!((sent.attempts, sent.error.as_deref()), (1, Some(want)));
}

#[test]
fn a_wait_is_seconds_or_a_date() {
    let now = SystemTime::from("2026-11-21T10:00:00Z".parse::<jiff::Timestamp>().unwrap());
    assert_eq!(wait("7", now), Some(Duration::from_secs(7)));
    assert_eq!(wait("Sat, 21 Nov 2026 10:00:30 GMT", now), Some(Duration::from_secs(30)));
    assert_eq!(wait("Sat, 21 Nov 2026 09:00:00 GMT", now), None);
    assert_eq!(wait("soon", now), None);
}

#[tokio::test]
async fn nobody_there_is_said_without_the_url() {
    // Bound, so that nothing else takes it, and not listening.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    let sent = tell(Recipient::Slack(Text(format!("http://127.0.0.1:{port}/services/${{TOKEN}}"))), QUICK).await;
    assert_eq!((sent.recipient.as_str(), sent.attempts), ("slack 127.0.0.1", 3));
    let error = sent.error.unwrap();
    assert!(error.starts_with("cannot connect: ") && error.contains("refused"), "{error}");
}

#[tokio::test]
async fn pagerduty_may_be_elsewhere() {
    let receiver = Receiver::new(&[Then::Answer("202 Accepted")]).await;
    let url = Some(Text(format!("http://127.0.0.1:{}/v2/enqueue", receiver.port)));
    let sent = tell(Recipient::PagerDuty(PagerDuty { key: Text("${TOKEN}".into()), url }), QUICK).await;
    assert_eq!(sent, Sent { recipient: "pagerduty 127.0.0.1".to_owned(), attempts: 1, error: None });
    let got = receiver.got();
    assert!(body(&got[0]).contains(r#""routing_key":"s3cret""#), "{got:?}");
}

#[tokio::test]
async fn what_cannot_be_tried_says_why() {
    for (recipient, who, why) in [
        (webhook("https://a.example/${NOBODY}"), "webhook", "${NOBODY} is not set in this environment"),
        (webhook("a.example/${TOKEN}"), "webhook", "its URL is none"),
        (Recipient::Slack(Text("ftp://${TOKEN}/".into())), "slack", "its URL is none"),
        (Recipient::File(Text("${NOBODY}".into())), "file ${NOBODY}", "${NOBODY} is not set"),
        (Recipient::Command(vec![Text("/no/such/program".into())]), "command /no/such/program", "it cannot be started"),
    ] {
        let sent = tell(recipient, QUICK).await;
        assert_eq!((sent.recipient.as_str(), sent.attempts), (who, 0));
        assert!(sent.error.as_deref().unwrap().starts_with(why), "{sent:?}");
    }
}

fn command(argv: &[&str]) -> Recipient {
    Recipient::Command(argv.iter().map(|part| Text((*part).to_owned())).collect())
}

#[tokio::test]
async fn a_command_reads_the_message() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("got").display().to_string();
    let sent = tell(command(&["sh", "-c", r#"cat >"$1""#, "${TOKEN}", &file]), QUICK).await;
    assert_eq!(sent, Sent { recipient: "command sh".to_owned(), attempts: 1, error: None });
    assert_eq!(std::fs::read_to_string(&file).unwrap(), json::line(&example()));
}

#[tokio::test]
async fn a_command_that_fails_or_does_not_end_is_said_and_not_started_again() {
    let sent = tell(command(&["sh", "-c", "exit 7"]), QUICK).await;
    assert_eq!((sent.attempts, sent.error.as_deref()), (1, Some("it ended with exit status 7")));
    let retries = RetryPolicy { total: Duration::from_millis(100), ..QUICK };
    let sent = tell(command(&["sleep", "61"]), retries).await;
    assert_eq!((sent.attempts, sent.error.as_deref()), (1, Some("it had not ended after 100ms, and was killed")));
}

#[tokio::test]
async fn a_file_gets_a_line_for_each() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("messages.ndjson");
    let recipient = Recipient::File(Text(file.display().to_string()));
    for _ in 0..2 {
        assert_eq!(tell(recipient.clone(), QUICK).await.error, None);
    }
    let line = json::line(&example());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{line}\n{line}\n"));

    let pipe = dir.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    let sent = tell(Recipient::File(Text(pipe.display().to_string())), QUICK).await;
    assert!(sent.error.as_deref().is_some_and(|e| e.starts_with("it cannot be written: ")), "{sent:?}");
}
