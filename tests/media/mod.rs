//! Models, pictures, sound and video: the worker that reads them, and what the doors tell of them.

mod commands;
mod forms;
mod optimize;
mod pictures;
mod renditions;
mod uploads;
mod worker;
mod world;
