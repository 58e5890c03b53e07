//! Whole ulna deployments under virtual time: NASes, links and threads that fail on purpose, a server that must not.
//!
//! A seed gives one explicit [`plan::Plan`], a plan one run, a run one digest, in debug and release alike. The
//! server is driven through [`phases`], one phase of one thread at a time; everything around it is a model, with a
//! codec of its own in [`oracle`]. [`checks`] holds the laws, [`fault`] the ways in which things go wrong.

pub mod actor;
pub mod campaign;
pub mod checks;
pub mod clock;
pub mod crash;
pub mod digest;
pub mod draw;
pub mod fault;
pub mod goals;
pub mod mutants;
pub mod net;
pub mod node;
pub mod operator;
pub mod oracle;
pub mod phases;
pub mod plan;
pub mod remote_sockets;
pub mod run;
pub mod schedule;
pub mod site;
mod small_world;
pub mod sockets;
pub mod spool_crash;
pub mod spool_store;
#[cfg(test)]
mod stand_in;
pub mod store;
pub mod swarm;
pub mod trace;
pub mod turn;
pub mod world;
