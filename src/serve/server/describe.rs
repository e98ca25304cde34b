//! What there is to call and how the server is, for people, programs and monitors: answers that change nothing.

use super::{PoolInfo, Server};
use crate::codec::json_text::JsonText;
use crate::error::{Error, Kind, Result};
use crate::serve::api::{self, Failure, Inner, Inspected, Route, Target};
use crate::serve::deployment::{Name, Status};
use crate::serve::http::Response;
use crate::serve::metrics::{Gauges, PoolGauge};

impl Server {
    /// The answer to whoever wants to know what there is to call.
    pub(super) fn describe(&self, route: Route) -> std::result::Result<Response, Failure> {
        match route {
            Route::Programs => {
                let statuses: Vec<Status<'_>> = self.deployments.list().collect();
                let inspected: Vec<Inspected<'_>> = statuses
                    .iter()
                    .map(|status| self.inspected(status, false))
                    .collect();
                let mut out = Vec::new();
                api::programs_json(&inspected, &mut out);
                Ok(Response::new(200, "application/json", out))
            }
            Route::Inspect(target) => {
                let name = Name::of(target.namespace, target.name, target.version)?;
                let text = self.inspect(&name, false)?;
                Ok(Response::new(200, "application/json", text))
            }
            Route::OpenApi => Ok(Response::new(200, "application/json", self.open_api(None))),
            _ => Err(Error::new(Kind::NotFound, "nothing is here").into()),
        }
    }

    /// All that is known of a deployment, as JSON.
    pub(super) fn inspect(&self, name: &Name, is_operator: bool) -> Result<Vec<u8>> {
        let status = self.status(name)?;
        let mut out = Vec::new();
        api::inspect_json(
            &self.inspected(&status, is_operator),
            &mut JsonText::new(&mut out),
        );
        Ok(out)
    }

    fn inspected<'s>(&'s self, status: &Status<'s>, is_operator: bool) -> Inspected<'s> {
        let program = status.serving.and_then(|id| self.programs.get(&id));
        Inspected {
            target: target_of(status.name),
            manifest: program.map(|program| &*program.manifest),
            state: status.state.name(),
            inner: is_operator.then(|| Inner {
                source: status.source,
                generation: status.number,
                calls: status.open_calls as u64,
                waiting: status.waiting_calls as u64,
                restarts: status.restarts,
                error: status.last_error,
                pools: Vec::new(),
            }),
        }
    }

    /// The OpenAPI document of one deployment, or of all.
    pub(super) fn open_api(&self, only: Option<&Name>) -> Vec<u8> {
        let shown = self
            .deployments
            .list()
            .filter(|status| only.is_none_or(|only| only == status.name));
        let programs = shown.filter_map(|status| {
            Some(api::Program {
                target: target_of(status.name),
                manifest: &self.programs.get(&status.serving?)?.manifest,
            })
        });
        let programs: Vec<api::Program<'_>> = programs.collect();
        let mut out = Vec::new();
        api::open_api(&programs, self.config.token.is_some(), &mut out);
        out
    }

    /// What monitors want to know.
    pub(super) fn figures(&self, pools: &[PoolInfo], now_ms: u64) -> String {
        let mut states: Vec<(&str, u64)> = Vec::new();
        for status in self.deployments.list() {
            let name = status.state.name();
            match states.iter_mut().find(|(known, _)| *known == name) {
                Some((_, count)) => *count += 1,
                None => states.push((name, 1)),
            }
        }
        let gauges = Gauges {
            uptime_ms: now_ms.saturating_sub(self.begun_ms),
            connections: self.clients.len() as u64,
            deployments: states,
            pools: pools
                .iter()
                .map(|pool| PoolGauge {
                    deployment: &pool.name,
                    pool: &pool.pool,
                    waiting: pool.waiting,
                    idle: pool.idle,
                    busy: pool.busy,
                    restarts: pool.restarts,
                })
                .collect(),
        };
        let mut out = String::new();
        self.metrics.write(&gauges, &mut out);
        self.write_nodes(&mut out);
        out
    }
}

/// A deployment as paths name it.
fn target_of(name: &Name) -> Target {
    Target {
        namespace: name.namespace.clone(),
        name: name.name.clone(),
        version: (name.version != "latest").then(|| name.version.clone()),
    }
}
