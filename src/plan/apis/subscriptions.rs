//! Products, users, groups and subscriptions.

use crate::{
    base::{expr::parse_rfc3339, hex},
    config::{
        Diagnostics, Span, Spanned, codes,
        ids::{Ids, report_unknown},
        values::items,
    },
    plan::document::{
        Document,
        apis::{ApiUserDocument, ProductDocument, SubscriptionDocument},
    },
    stages::program::{
        entities::{Product, Subscription, SubscriptionScope, User},
        subscription::{SubscriptionIndex, index_key, key_sha256},
    },
};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// The shortest key.
const MIN_KEY_CHARS: usize = 16;
const STATES: [&str; 6] = ["Submitted", "Active", "Suspended", "Rejected", "Cancelled", "Expired"];

/// The groups that exist always.
pub const BUILT_IN_GROUPS: [&str; 3] = ["Administrators", "Developers", "Guests"];

/// The products by their ids in lower case.
pub fn products(document: &Document, apis: &Ids, diagnostics: &mut Diagnostics) -> Vec<Arc<Product>> {
    let entries = document.products.iter().flat_map(|map| map.iter());
    entries.map(|(id, product)| Arc::new(one_product(id, product, apis, diagnostics))).collect()
}

fn one_product(
    id: &Spanned<String>,
    product: &Spanned<ProductDocument>,
    known: &Ids,
    diagnostics: &mut Diagnostics,
) -> Product {
    let mut apis = Vec::new();
    for api in items(&product.apis) {
        match known.get(api) {
            Some(found) => apis.push(found.to_owned()),
            None => report_unknown("API", api, api.span, known, diagnostics),
        }
    }
    let on = |setting: &Option<Spanned<bool>>, default| setting.as_ref().map_or(default, |set| set.value);
    let state = choice(&product.state, &["NotPublished", "Published"], diagnostics);
    Product {
        id: id.value.clone(),
        name: product.display_name.as_ref().map_or_else(|| id.value.clone(), |name| name.value.clone()),
        apis,
        groups: items(&product.groups).iter().map(|group| group.value.clone()).collect(),
        approval_required: on(&product.approval_required, false),
        state,
        subscription_limit: product.subscriptions_limit.as_ref().map(|limit| limit.value),
        requires_subscription: on(&product.subscription_required, true),
    }
}

/// One of some words; the first without a setting.
pub fn choice(setting: &Option<Spanned<String>>, known: &[&str], diagnostics: &mut Diagnostics) -> String {
    let first = known.first().copied().unwrap_or_default();
    let Some(set) = setting else { return first.to_owned() };
    let found = known.iter().find(|known| known.eq_ignore_ascii_case(set.trim()));
    if found.is_none() {
        diagnostics
            .error(codes::UNKNOWN_CHOICE, set.span, format!("unknown value \"{}\"", set.value))
            .help(format!("expected {}", crate::config::suggest::one_of(known)));
    }
    found.copied().unwrap_or(first).to_owned()
}

/// The users by their ids in lower case.
pub fn users(document: &Document, diagnostics: &mut Diagnostics) -> HashMap<String, Arc<User>> {
    let own = document.groups.iter().flat_map(|map| map.iter());
    let mut groups: Vec<(String, String)> = own
        .map(|(id, group)| {
            (
                id.value.clone(),
                group.display_name.as_ref().map_or_else(|| id.value.clone(), |name| name.value.clone()),
            )
        })
        .collect();
    groups.extend(BUILT_IN_GROUPS.map(|name| (name.to_owned(), name.to_owned())));
    let entries = document.users.iter().flat_map(|map| map.iter());
    entries
        .map(|(id, user)| (id.to_lowercase(), Arc::new(one_user(id, user, &groups, diagnostics))))
        .collect()
}

fn report_password(hash: &Option<Spanned<String>>, diagnostics: &mut Diagnostics) {
    if let Some(hash) = hash {
        diagnostics
            .error(
                codes::POLICY_NOT_YET,
                hash.span,
                "PasswordHash is not supported yet: users do not sign in",
            )
            .help("remove the setting");
    }
}

fn one_user(
    id: &Spanned<String>,
    user: &Spanned<ApiUserDocument>,
    groups: &[(String, String)],
    diagnostics: &mut Diagnostics,
) -> User {
    let text = |setting: &Option<Spanned<String>>| {
        setting.as_ref().map(|text| text.value.clone()).unwrap_or_default()
    };
    let mut own = Vec::new();
    for group in items(&user.groups) {
        match groups.iter().find(|(known, _)| known.eq_ignore_ascii_case(group)) {
            Some(found) => own.push(found.clone()),
            None => {
                let ids = Ids::new(groups.iter().map(|(id, _)| id.as_str()));
                report_unknown("group", group, group.span, &ids, diagnostics);
            }
        }
    }
    report_password(&user.password_hash, diagnostics);
    let is_developer = own.iter().any(|(id, _)| id == "Developers");
    if !is_developer {
        own.insert(0, ("Developers".to_owned(), "Developers".to_owned()));
    }
    User {
        id: id.value.clone(),
        email: text(&user.email),
        first_name: text(&user.first_name),
        last_name: text(&user.last_name),
        note: text(&user.note),
        groups: own,
        is_blocked: choice(&user.state, &["Active", "Blocked"], diagnostics) == "Blocked",
    }
}

/// The subscriptions and their keys.
pub fn subscriptions(
    document: &Document,
    (apis, products): (&Ids, &Ids),
    users: &HashMap<String, Arc<User>>,
    diagnostics: &mut Diagnostics,
) -> (SubscriptionIndex, Vec<Arc<Subscription>>) {
    let (mut index, mut all) = (SubscriptionIndex::new(), Vec::new());
    for (id, subscription) in document.subscriptions.iter().flat_map(|map| map.iter()) {
        let read = one_subscription(id, subscription, (apis, products), users, diagnostics);
        let Some(read) = read.map(Arc::new) else { continue };
        for (hash, span) in key_hashes(subscription, diagnostics) {
            if index.insert(index_key(&hash), read.clone()).is_some() {
                diagnostics.error(codes::API_ENTITY, span, "two subscriptions have the same key");
            }
        }
        all.push(read);
    }
    (index, all)
}

fn one_subscription(
    id: &Spanned<String>,
    document: &Spanned<SubscriptionDocument>,
    (apis, products): (&Ids, &Ids),
    users: &HashMap<String, Arc<User>>,
    diagnostics: &mut Diagnostics,
) -> Option<Subscription> {
    let scope = scope(document, (apis, products), diagnostics)?;
    let owner = document.owner.as_ref().and_then(|owner| {
        let found = users.get(&owner.to_lowercase()).cloned();
        if found.is_none() {
            let known = Ids::new(users.keys().map(String::as_str));
            report_unknown("user", owner, owner.span, &known, diagnostics);
        }
        found
    });
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i128);
    Some(Subscription {
        id: id.value.clone(),
        name: document.display_name.as_ref().map_or_else(|| id.value.clone(), |name| name.value.clone()),
        scope,
        is_active: state(&document.state, diagnostics) == "Active",
        start: date(&document.start_date, diagnostics),
        end: date(&document.expiration_date, diagnostics),
        created: now,
        owner,
        allows_tracing: document.allow_tracing.as_ref().is_some_and(|on| on.value),
    })
}

/// What the keys of a subscription open.
fn scope(
    document: &Spanned<SubscriptionDocument>,
    (apis, products): (&Ids, &Ids),
    diagnostics: &mut Diagnostics,
) -> Option<SubscriptionScope> {
    let mut known = |kind: &str, id: &Spanned<String>, ids: &Ids| {
        let found = ids.get(id).map(str::to_owned);
        if found.is_none() {
            report_unknown(kind, id, id.span, ids, diagnostics);
        }
        found
    };
    let all_apis = document.all_apis.as_ref().is_some_and(|all| all.value);
    match (&document.product, &document.api, all_apis) {
        (Some(product), None, false) => known("product", product, products).map(SubscriptionScope::Product),
        (None, Some(api), false) => known("API", api, apis).map(SubscriptionScope::Api),
        (None, None, true) => Some(SubscriptionScope::AllApis),
        _ => {
            let message = "a subscription has exactly one of Product, Api and AllApis: true";
            diagnostics.error(codes::API_ENTITY, document.span, message);
            None
        }
    }
}

fn state(setting: &Option<Spanned<String>>, diagnostics: &mut Diagnostics) -> String {
    match setting {
        None => "Active".to_owned(),
        some => choice(some, &STATES, diagnostics),
    }
}

fn date(setting: &Option<Spanned<String>>, diagnostics: &mut Diagnostics) -> Option<i128> {
    let set = setting.as_ref()?;
    let at = parse_rfc3339(set.trim());
    if at.is_none() {
        diagnostics
            .error(codes::BAD_TEXT, set.span, format!("invalid time \"{}\"", set.value))
            .help("write a time such as 2024-01-01T00:00:00Z");
    }
    at
}

/// The SHA-256 of both keys.
fn key_hashes(
    document: &Spanned<SubscriptionDocument>,
    diagnostics: &mut Diagnostics,
) -> Vec<([u8; 32], Span)> {
    let mut all = Vec::new();
    for key in [&document.primary_key, &document.secondary_key].into_iter().flatten() {
        if key.chars().count() < MIN_KEY_CHARS {
            diagnostics
                .error(codes::API_ENTITY, key.span, "the key is too short")
                .help(format!("must have at least {MIN_KEY_CHARS} characters"));
            continue;
        }
        all.push((key_sha256(key.as_bytes()), key.span));
    }
    for hash in [&document.primary_key_sha256, &document.secondary_key_sha256].into_iter().flatten() {
        match parse_hex(hash.trim()) {
            Some(bytes) => all.push((bytes, hash.span)),
            None => {
                diagnostics
                    .error(codes::API_ENTITY, hash.span, "invalid hash of a key")
                    .help("must be 64 hexadecimal digits");
            }
        }
    }
    all
}

fn parse_hex(text: &str) -> Option<[u8; 32]> {
    hex::decode(text)?.try_into().ok()
}
