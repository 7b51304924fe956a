//! Posts an event with the CloudEvents SDK, built anew for each mode, and prints each answer as a line of JSON.
//!
//! usage: post HOST:PORT EVENT MODE…, with the event in the JSON format and the token in TOKEN

use std::error::Error;

use cloudevents::binding::reqwest::{RequestBuilderExt, RequestSerializer};
use cloudevents::message::StructuredDeserializer;
use cloudevents::{Event, EventBuilder, EventBuilderV10};
use serde_json::Value;

fn build(given: &Value) -> Result<Event, Box<dyn Error>> {
    let mut builder = EventBuilderV10::new();
    for (name, value) in given.as_object().ok_or("an event is an object")? {
        let text = value.as_str().unwrap_or_default();
        builder = match name.as_str() {
            "specversion" | "datacontenttype" => builder,
            "id" => builder.id(text),
            "type" => builder.ty(text),
            "source" => builder.source(text),
            "subject" => builder.subject(text),
            "data" => builder.data("application/json", value.clone()),
            _ => builder.extension(name, text),
        };
    }
    Ok(builder.build()?)
}

async fn post(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [address, given, modes @ ..] = arguments else {
        return Err("usage: post HOST:PORT EVENT MODE…".into());
    };
    let url = format!("http://{address}/api/v1/events");
    let token = std::env::var("TOKEN")?;
    let client = reqwest::Client::new();
    let given = serde_json::from_str(given)?;
    for mode in modes {
        let request = client.post(&url).bearer_auth(&token);
        let event = build(&given)?;
        let request = match mode.as_str() {
            "binary" => request.event(event)?,
            "structured" => event.deserialize_structured(RequestSerializer::new(request))?,
            _ => request.events(vec![event])?,
        };
        let answer: Value = serde_json::from_str(&request.send().await?.text().await?)?;
        println!("{answer}");
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(post(&arguments))
}
