//! Clients and proxies of others, as they come: Java's HttpClient, nginx with next to no configuration.

use std::fs;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use flate2::read::GzDecoder;

use crate::support::database::Database;
use crate::support::events::{EVENTS, accepted, event, finished};
use crate::support::http::Client;
use crate::support::lacks::{self, skips};
use crate::support::run::{self, Ending, Guard};
use crate::support::server::Server;
use crate::support::wait::{SOON, wait_for};
use crate::support::wire::Connection;

/// Requests of one Java client: of so many some dozens were lost.
const POSTS: &str = "2000";

/// Where `./test` puts nginx, if it is not there already.
const NGINX: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/nginx");

/// Passes connections on to `server` and counts them.
fn counted(server: SocketAddr) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let count = Arc::<AtomicUsize>::default();
    let counter = count.clone();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            counter.fetch_add(1, Ordering::Relaxed);
            let server = TcpStream::connect(server).expect("the server takes connections");
            [&client, &server].iter().for_each(|stream| stream.set_nodelay(true).expect("it is open"));
            for (mut from, mut to) in [(&client, &server), (&server, &client)].map(|(from, to)| (own(from), own(to))) {
                thread::spawn(move || io::copy(&mut from, &mut to));
            }
        }
    });
    (address, count)
}

fn own(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("a handle of its own")
}

#[test]
fn javas_client_loses_no_post_and_keeps_its_connection() {
    if skips(&[lacks::program("java")]) {
        return;
    }
    let mut server = Server::start(&Database::sqlite());
    let (address, connections) = counted(server.address());
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/outside/Posts.java");
    let url = format!("http://{address}{EVENTS}");
    let token = server.token();
    let output = Command::new("java").args([file, &url, &token, POSTS]).output().expect("it is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(connections.load(Ordering::Relaxed), 1);
    assert_eq!(server.database().texts("SELECT CAST(COUNT(*) AS TEXT) FROM events"), [POSTS]);
}

/// A running nginx.
struct Nginx {
    address: SocketAddr,
    process: (Child, Guard),
}

impl Nginx {
    /// Passes everything on to `server`, with these directives beside.
    fn start(server: SocketAddr, directives: &str) -> Self {
        let folder = run::folder("nginx");
        let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
        let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|what| format!("{what}_temp_path {}/{what};\n", folder.display()))
            .concat();
        let text = format!(
            "daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log stderr;\nevents {{}}\n\
             http {{\naccess_log off;\n{paths}{directives}\n\
             server {{ listen {address}; location / {{ proxy_pass http://{server}; }} }}\n}}\n",
            folder = folder.display()
        );
        let file = folder.join("nginx.conf");
        fs::write(&file, text).expect("the folder is ours");
        let mut command = Command::new(nginx());
        command.arg("-p").arg(&folder).arg("-c").arg(&file).stdin(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("it is installed");
        let guard = Guard::new(&child, Ending::Kill);
        wait_for("nginx", SOON, || TcpStream::connect(address).ok().map(drop), || file.display().to_string());
        Self { address, process: (child, guard) }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.0.kill();
        let _ = self.process.0.wait();
    }
}

fn nginx() -> &'static str {
    if Path::new(NGINX).exists() { NGINX } else { "nginx" }
}

#[test]
fn a_proxy_with_no_more_than_proxy_pass_opens_nothing_and_breaks_nothing() {
    if skips(&[lacks::program(nginx())]) {
        return;
    }
    let mut server = Server::start(&Database::sqlite());
    let operations = Nginx::start(server.dashboard_address(), "");
    let nobody = Client::new(operations.address, None);
    for path in ["/metrics", "/api/pipeline", "/api/live", "/openapi.json", "/api/session"] {
        assert_eq!(nobody.get(path).status, 401, "{path}");
    }
    assert_eq!(nobody.get("/health/ready").status, 200);
    let api = Nginx::start(server.address(), "");
    let token = server.token();
    let client = Client::new(api.address, Some(&token));
    let id = accepted(&client, &event("a"));
    finished(&client, id);
    let retried = client.call("POST", &format!("{EVENTS}/{id}/retry"), &[], None);
    assert_eq!((retried.status, &retried.json()["code"]), (409, &"not_replayable".into()), "{retried:?}");
    let export = client.get(&format!("{EVENTS}/export"));
    assert!(export.body.ends_with("{\"summary\":{\"events\":1,\"complete\":true}}\n"), "{export:?}");
}

#[test]
fn a_proxy_that_packs_everything_holds_no_stream_back() {
    if skips(&[lacks::program(nginx())]) {
        return;
    }
    let mut server = Server::start(&Database::sqlite());
    let token = server.token();
    let nginx = Nginx::start(server.address(), "gzip on; gzip_types *; gzip_http_version 1.0; gzip_proxied any;");
    let mut stream = Connection::open(nginx.address).expect("nginx takes connections");
    let request = format!(
        "GET {EVENTS}/stream HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {token}\r\nAccept-Encoding: gzip\r\n\r\n"
    );
    stream.send(request.as_bytes()).expect("it reads");
    let head = stream.head().expect("it answers");
    assert_eq!((head.status, head.header("content-encoding")), (200, Some("gzip")), "{head:?}");
    accepted(&server.client(), &event("through"));
    let mut packed = Vec::new();
    loop {
        let chunk = stream.chunk().expect("outcomes come while the stream goes on");
        assert!(!chunk.is_empty(), "the stream ended");
        packed.extend(chunk);
        let mut text = Vec::new();
        // It is not over: what came so far is followed by an error.
        let _ = GzDecoder::new(packed.as_slice()).read_to_end(&mut text);
        if String::from_utf8_lossy(&text).contains("event: outcome") {
            return;
        }
    }
}
