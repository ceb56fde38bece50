//! Tests of routing as a whole: recorded cases, models, templates of the specification.

mod cases;
mod model;
mod model_url;
mod templates;
