//! Tokens that nobody has: what they cost, and whom they hold up.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};

use serde_json::json;
use socket2::{Domain, Socket, Type};

use crate::support::events::{EVENTS, accepted, event};
use crate::support::http::Answer;
use crate::support::run;
use crate::support::server::Server;
use crate::support::wait::{SOON, wait_for};
use crate::support::wire::Connection;

/// A token that looks like one of ours.
fn random() -> String {
    format!("gm_{:0>43}", run::number())
}

/// Reads the list from another address of this machine.
fn list_from(server: &Server, address: Ipv4Addr, token: &str) -> Answer {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((IpAddr::V4(address), 0)).into()).expect("all of 127.0.0.0/8 is this machine's");
    socket.connect(&server.address().into()).expect("the server takes connections");
    let mut connection = Connection::over(TcpStream::from(socket)).expect("a connection");
    let request = format!("GET {EVENTS} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\n\r\n");
    connection.send(request.as_bytes()).expect("the server reads");
    connection.answer().expect("the request is answered")
}

/// Sends unknown tokens until none is looked up any more.
fn exhaust(server: &Server) -> Answer {
    let refused = || {
        let answer = server.client_with(&random()).get(EVENTS);
        assert!(matches!(answer.status, 401 | 429), "{answer:?}");
        (answer.status == 429).then_some(answer)
    };
    wait_for("a refusal without a look-up", SOON, refused, || server.log())
}

both_databases! {
    fn an_address_with_many_unknown_tokens_is_refused_before_the_database_is_asked(database) {
        let mut server = Server::start(&database);
        let known = server.client();
        accepted(&known, &event("a"));
        let refused = exhaust(&server);
        let problem = refused.json();
        assert_eq!((&problem["code"], &problem["retryable"]), (&json!("rate_limited"), &json!(true)), "{problem}");
        assert_eq!(refused.header("retry-after"), Some("1"), "{refused:?}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("unknown tokens")), "{problem}");
        accepted(&known, &event("b"));
        assert_eq!(server.dashboard().get("/api/v1/limits").status, 200, "nor on the other port");
        let token = server.setup().create_user_with_token("ana@example.org", "read");
        exhaust(&server);
        assert_eq!(list_from(&server, Ipv4Addr::new(127, 0, 0, 2), &token).status, 200, "another address has its own");
        assert_eq!(list_from(&server, Ipv4Addr::new(127, 0, 0, 3), &random()).status, 401);
    }

    fn a_token_made_a_moment_ago_gets_its_turn_among_unknown_ones(database) {
        let server = Server::start(&database);
        let token = server.setup().create_user_with_token("ana@example.org", "read");
        exhaust(&server);
        let client = server.client_with(&token);
        let read = || (client.get(EVENTS).status == 200).then_some(());
        wait_for("the look-up", SOON, read, || server.log());
        exhaust(&server);
        assert_eq!(client.get(EVENTS).status, 200, "it is remembered now");
    }

    fn valid_tokens_that_are_not_remembered_are_never_held_up(database) {
        let mut server = Server::start(&database);
        server.setup().create_user("ana@example.org");
        let admin = server.client();
        let tokens: Vec<String> = (0..80)
            .map(|_| {
                let made = admin.post_json("/api/v1/tokens", &json!({"scopes": ["read"]}));
                assert_eq!(made.status, 201, "{made:?}");
                made.json()["token"].as_str().expect("a secret").to_owned()
            })
            .collect();
        server.restart();
        std::thread::scope(|scope| {
            let server = &server;
            let reads = tokens.chunks(10).map(|tokens| {
                scope.spawn(move || tokens.iter().map(|token| server.client_with(token).get(EVENTS).status).collect())
            });
            let reads: Vec<_> = reads.collect();
            let statuses = reads.into_iter().flat_map(|read| -> Vec<u16> { read.join().expect("it ran through") });
            assert!(statuses.into_iter().all(|status| status == 200));
        });
    }
}
