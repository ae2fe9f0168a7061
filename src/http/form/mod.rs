//! A form in a request's body: its fields, read first and kept, and its file, which is a body of its own.
//!
//! Not here: what a field means (`s3::post`), and who signed them (`auth::form`). Called by the S3 door.
//! Invariant: whoever reads the file to its end has seen the boundary behind it, and as many bytes as were allowed.

pub mod decoder;

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};

use crate::auth::form::policy::Range;
use crate::base::error::{Error, ErrorKind, Result};
use decoder::{Decoder, Event};

pub struct Form<B> {
    body: B,
    decoder: Decoder,
    /// What has come and was not looked at.
    data: Bytes,
}

/// Of a form, in the order that they came.
#[derive(Debug, Default)]
pub struct Read {
    pub fields: Vec<(String, String)>,
    pub file_name: String,
}

impl<B: Body<Data = Bytes, Error = Error> + Unpin> Form<B> {
    pub fn new(body: B, content_type: Option<&str>) -> Result<Self> {
        Ok(Form { body, decoder: Decoder::new(content_type)?, data: Bytes::new() })
    }

    /// All fields before the file. `took_in` is told of each stretch of the body.
    pub async fn fields(&mut self, took_in: impl Fn(usize)) -> Result<Read> {
        let mut read = Read::default();
        loop {
            while let Some(event) = self.decoder.push(&mut self.data)? {
                match event {
                    Event::Field { name, value } => read.fields.push((name, value)),
                    Event::File { file_name } => return Ok(Read { file_name, ..read }),
                    Event::Data(_) | Event::End => return Err(out_of_order()),
                }
            }
            match poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx)).await {
                None => {
                    self.decoder.finish()?;
                    return Err(out_of_order());
                }
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        took_in(data.len());
                        self.data = data;
                    }
                }
            }
        }
    }

    pub fn file(self, length: Range) -> File<B> {
        File { form: self, length, size: 0 }
    }
}

/// The file as a body.
pub struct File<B> {
    form: Form<B>,
    length: Range,
    size: u64,
}

impl<B> File<B> {
    /// The same, by another way to the rest of the form.
    pub fn by<C>(self, way: impl FnOnce(B) -> C) -> File<C> {
        let Form { body, decoder, data } = self.form;
        File { form: Form { body: way(body), decoder, data }, length: self.length, size: self.size }
    }

    fn on(&mut self, event: Event) -> Result<Option<Bytes>> {
        match event {
            Event::Data(data) => {
                self.size += data.len() as u64;
                if self.size > self.length.max { Err(too_large(self.length.max)) } else { Ok(Some(data)) }
            }
            Event::End if self.size < self.length.min => Err(too_small(self.size, self.length.min)),
            Event::End => Ok(None),
            Event::Field { .. } | Event::File { .. } => Err(out_of_order()),
        }
    }
}

impl<B: Body<Data = Bytes, Error = Error> + Unpin> Body for File<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        let file = &mut *self;
        loop {
            while let Some(event) = file.form.decoder.push(&mut file.form.data)? {
                if let Some(data) = file.on(event)? {
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
            }
            match ready!(Pin::new(&mut file.form.body).poll_frame(cx)) {
                None => return Poll::Ready(file.form.decoder.finish().err().map(Err)),
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        file.form.data = data;
                    }
                }
            }
        }
    }
}

fn too_large(max: u64) -> Error {
    Error::new(ErrorKind::EntityTooLarge, "Your proposed upload exceeds the maximum allowed size").detail("MaxSizeAllowed", max.to_string())
}

fn too_small(size: u64, min: u64) -> Error {
    Error::new(ErrorKind::EntityTooSmall, "Your proposed upload is smaller than the minimum allowed size")
        .detail("ProposedSize", size.to_string())
        .detail("MinSizeAllowed", min.to_string())
}

fn out_of_order() -> Error {
    Error::internal("a part of a form came where none can come")
}
