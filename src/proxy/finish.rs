//! The last phase, once for every request that was routed or refused: metrics and the access log.

use std::time::SystemTime;

use http::{HeaderMap, HeaderName, Version, header};
use pingora_proxy::Session;

use crate::config::Name;
use crate::grpc::Code;
use crate::observe::Flag;
use crate::observe::access::Record;
use crate::proxy::Proxy;
use crate::proxy::accept::REQUEST_ID;
use crate::proxy::ctx::{RequestCtx, now};
use crate::proxy::{failover, grpc, outcome, tap, variant};
use crate::snapshot::Snapshot;

impl Proxy {
    pub(crate) fn finish(&self, session: &mut Session, ctx: &mut RequestCtx) {
        if !session.is_body_done() {
            tap::unread(session);
        }
        let duration = now().saturating_duration_since(ctx.start).as_secs_f64();
        outcome::ended(ctx);
        ctx.tries.end();
        ctx.in_flight = None;
        ctx.place = None;
        let Some(snapshot) = &ctx.snapshot else { return };
        let written = session.response_written().map(|header| header.status.as_u16());
        let status = ctx.status.or(written).unwrap_or(0);
        let code = grpc::code(session, status, ctx);
        count(ctx, snapshot, (status, code), duration);
        if snapshot.access_log.enabled() {
            self.log(session, ctx, snapshot, (status, code), duration);
        }
    }

    fn log(
        &self,
        session: &Session,
        ctx: &RequestCtx,
        snapshot: &Snapshot,
        (status, code): (u16, Option<Code>),
        duration: f64,
    ) {
        let request = session.req_header();
        snapshot.access_log.write(&Record {
            time: date(duration),
            listener: &self.listeners[ctx.listener()].name,
            client: ctx.client(),
            method: request.method.as_str(),
            host: ctx.host.as_bytes(),
            path: request.raw_path(),
            protocol: protocol(request.version),
            status,
            grpc_status: code.map(Code::number),
            flag: ctx.flag,
            route: ctx.route().map_or("", |route| route.name.as_str()),
            cluster: ctx.cluster().map_or("", |cluster| Name::as_str(&cluster.name)),
            variant: ctx.variant().map_or("", |variant| variant.name.as_str()),
            endpoint: ctx.endpoint,
            attempts: ctx.attempts,
            bytes_in: session.body_bytes_read() as u64,
            bytes_out: session.body_bytes_sent() as u64,
            duration_ms: duration * 1e3,
            ttfb_ms: ctx.ttfb.map(|seconds| seconds * 1e3),
            request_id: bytes(&request.headers, &REQUEST_ID),
            user_agent: bytes(&request.headers, &header::USER_AGENT),
            generation: snapshot.generation,
            tls: ctx.link.as_ref().and_then(|link| link.tls_record()),
        });
    }
}

/// Counts the request for its route, and its last try for its cluster.
fn count(ctx: &RequestCtx, snapshot: &Snapshot, (status, code): (u16, Option<Code>), duration: f64) {
    let metrics = ctx.route().map_or(&snapshot.table.unrouted, |route| {
        let (own, spilled) = match ctx.variant {
            Some(assigned) => {
                let variant = variant::count(route, assigned, snapshot);
                (&variant.requests, &variant.spilled)
            }
            None => (&route.metrics, &route.spilled),
        };
        // Empty, unless other clusters may stand in for the one that is named.
        spilled.iter().find(|(cluster, _)| Some(*cluster) == ctx.cluster).map_or(own, |(_, other)| other)
    });
    failover::count(ctx, snapshot);
    metrics.record(ctx.listener(), status, duration, ctx.ttfb, ctx.flag);
    if let Some(code) = code {
        metrics.call(code as u8);
    }
    if let Some(cluster) = ctx.cluster()
        && ctx.attempts > 1
    {
        // The last one; those before it failed, and were counted as the next was planned.
        let failed = ctx.tries.failed || matches!(ctx.flag, Some(Flag::UF | Flag::UC | Flag::UT));
        let counter = if failed { &cluster.metrics.retry_failure } else { &cluster.metrics.retry_success };
        counter.inc();
    }
}

/// When the request began, by the calendar.
#[expect(clippy::disallowed_methods, reason = "log lines carry the calendar's time")]
fn date(seconds_ago: f64) -> SystemTime {
    let now = SystemTime::now();
    now.checked_sub(std::time::Duration::from_secs_f64(seconds_ago)).unwrap_or(now)
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        Version::HTTP_09 => "HTTP/0.9",
        _ => "HTTP/1.1",
    }
}

fn bytes<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a [u8] {
    headers.get(name).map_or(b"", |value| value.as_bytes())
}
