//! The service that the network calls: opens a visit, lets the door answer, turns an error into an answer, closes the books.

use std::rc::Rc;
use std::sync::Arc;

use http::{Method, Request, Response};

use crate::http::account::Accounted;
use crate::http::gateway::{Gateway, WorkersGateway};
use crate::http::visit::Visit;
use crate::http::{address, admin, edge, s3};
use crate::net::request_body::RequestBody;
use crate::net::service::{Peer, Service};
use crate::telemetry::metrics::Door;

/// One for each worker.
#[derive(Clone)]
pub struct Doors(Rc<WorkersGateway>);

impl Doors {
    pub fn new(gateway: Arc<Gateway>) -> Self {
        Doors(Rc::new(WorkersGateway::new(gateway)))
    }
}

impl Service for Doors {
    type Body = Accounted;

    // Boxes: hyper moves the future of a request around, and this one is small then.
    fn call(&self, mut request: Request<RequestBody>, mut from: Peer) -> impl Future<Output = Response<Accounted>> {
        let gateway: &Gateway = &self.0;
        let addressed = address::settle(&mut request).and_then(|()| match from.door {
            Door::Admin => admin::turn_to_s3_door(gateway, &mut request, &mut from),
            Door::S3 | Door::Edge => Ok(()),
        });
        let mut visit = Visit::open(self.0.clone(), &request, &from);
        async move {
            if let Err(error) = addressed {
                let answer = visit.failed(gateway, &error, request.uri().path(), request.method() == Method::HEAD);
                return visit.close(answer);
            }
            let answer = match from.door {
                Door::S3 => Box::pin(s3::handle(gateway, &visit, request, from)).await,
                Door::Edge => Box::pin(edge::handle(gateway, &mut visit, request, from)).await,
                Door::Admin => Box::pin(admin::handle(gateway, &visit, request, from)).await,
            };
            visit.close(answer)
        }
    }
}
