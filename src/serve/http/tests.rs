//! Connections fed with bytes, at once and in pieces. Opens no socket.

use super::*;

#[test]
fn a_kept_connection_answers_one_after_the_other() {
    let mut connection = Connection::new(0);
    connection.handle_input(
        b"GET /a?b=c HTTP/1.1\r\nHost: h\r\n\r\nPOST /d HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\nhi",
        0,
    );
    let request = connection.poll_request().expect("a request is whole");
    assert_eq!(
        (request.path(), request.query(), request.header("HOST")),
        ("/a", "b=c", Some("h"))
    );
    assert_eq!(connection.poll_request(), None);
    connection.respond(Response::new(200, "text/plain", b"yes".to_vec()), 0);
    let request = connection.poll_request().expect("the next request is whole");
    assert_eq!((request.path(), &request.body[..]), ("/d", &b"hi"[..]));
    connection.respond(Response::new(204, "text/plain", Vec::new()), 0);
    assert_eq!(
        String::from_utf8_lossy(connection.output()),
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 3\r\n\r\nyes\
         HTTP/1.1 204 No Content\r\ncontent-type: text/plain\r\n\r\n"
    );
}
