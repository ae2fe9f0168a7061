//! Models, pictures, sound and video: the worker that reads them, and what the doors tell of them.

mod commands;
mod optimize;
mod pictures;
mod uploads;
mod worker;
