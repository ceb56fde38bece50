//! The one table of all diagnostic codes. A code never changes its meaning and is never given twice.
//!
//! Families: MG00 reading files and syntax, MG01 keys and types, MG02 placeholders, merge and policies,
//! MG03 routes and templates, MG04 options, MG05 aggregates, MG06 listeners and limits, MG07 discovery, MG09 not supported yet.
//! Keep the table sorted.

use super::diagnostics::Code;

/// One line of the table: the code, its title, and what it means at length.
pub type Entry = (Code, &'static str, &'static str);

macro_rules! codes {
    ($($name:ident = $code:literal, $title:literal, $text:literal;)*) => {
        $(#[doc = $title] pub const $name: Code = Code($code);)*
        /// Every code, sorted.
        pub static TABLE: &[Entry] = &[$(($name, $title, $text)),*];
    };
}

codes! {
    FILE_UNREADABLE = "MG0001", "A file cannot be read", "The file or directory does not exist, or may not be read.";
    FILE_TOO_LARGE = "MG0002", "A file is too large", "A configuration file may hold 64 MiB, a directory 4096 configuration files.";
    NOT_UTF8 = "MG0003", "A file is not UTF-8", "Configuration files are JSON in UTF-8, with or without a byte order mark.";
    EMPTY_FILE = "MG0004", "A file is empty", "There is no JSON value in the file.";
    NO_CONFIGURATION = "MG0005", "No configuration found", "Neither gateway.json nor ocelot.json, nor files like gateway.NAME.json, were found.";
    SYNTAX = "MG0010", "JSON syntax", "Something stands where JSON wants something else.";
    MISSING_COMMA = "MG0011", "A comma is missing", "Members of an object and items of a list are separated by commas.";
    MISSING_COLON = "MG0012", "A colon is missing", "Between the name and the value of a member stands a colon.";
    UNCLOSED_STRING = "MG0013", "A closing quote is missing", "A string begins and ends with a quote on one line.";
    UNCLOSED_BRACE = "MG0014", "A closing brace is missing", "Every { and [ is closed by its } and ].";
    BAD_ESCAPE = "MG0015", "A bad escape in a string", "Escapes are \\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\uXXXX.";
    BAD_NUMBER = "MG0016", "A bad number", "Numbers are written as JSON wants them: no leading zeros, no plus sign, digits on both sides of the point.";
    BAD_WORD = "MG0017", "A word without quotes", "Only true, false and null stand without quotes.";
    TOO_DEEP = "MG0018", "Nested too deep", "Objects and lists may be nested 64 deep.";
    TRAILING_TEXT = "MG0019", "Text after the end", "One file holds one JSON value.";
    SINGLE_QUOTES = "MG0020", "Single quotes", "Strings take double quotes; single quotes are accepted only under Ocelot compatibility.";
    WRONG_TYPE = "MG0101", "A value of the wrong type", "The setting wants another kind of value.";
    UNKNOWN_KEY = "MG0102", "An unknown setting", "The object has no setting of that name. Keys beginning with x-, // and the key $schema are free. A warning under Ocelot compatibility.";
    DUPLICATE_KEY = "MG0103", "A setting given twice", "Names are compared without regard to case, in maps too.";
    UNKNOWN_CHOICE = "MG0104", "Not one of the allowed words", "The setting takes one of a few words.";
    OUT_OF_RANGE = "MG0105", "A number out of range", "The number is too small, too large, or not whole.";
    BAD_TEXT = "MG0106", "A malformed value", "The text does not have the form that the setting wants, for example a duration like \"1s\" or a size like \"4MiB\".";
    UNSET_VARIABLE = "MG0201", "An unset environment variable", "${NAME} names a variable that is not set and has no default; ${NAME:-default} gives one.";
    UNREADABLE_SECRET = "MG0202", "A placeholder's file cannot be read", "${file:/path} names a file that does not exist, may not be read, is larger than 1 MiB or is not UTF-8.";
    BAD_PLACEHOLDER = "MG0203", "A malformed placeholder", "Placeholders are ${NAME}, ${NAME:-default} and ${file:/path}; $${ writes a literal ${.";
    MERGE_CONFLICT = "MG0210", "Two files disagree", "A section that may stand in one file only stands in two.";
    GLOBAL_IGNORED = "MG0211", "A global section that is ignored", "In a directory GlobalConfiguration is read from the global file only (gateway.global.json or ocelot.global.json).";
    FILE_IGNORED = "MG0212", "A configuration file that is ignored", "The file lies beside the configuration and looks like a part of it, but is not read.";
    UNKNOWN_POLICY = "MG0220", "An unknown policy", "No file of that name lies in the policies directory.";
    UNUSED_POLICY = "MG0221", "An unused policy", "Nothing names this policy.";
    FORBIDDEN_IN_POLICY = "MG0222", "Not allowed in a policy", "A policy holds options that routes inherit; what makes a route that route stays in the route.";
    RESERVED_POLICY = "MG0223", "Reserved for later", "The name or the form of the policy is kept for a later version.";
    POLICY_WEAKENS = "MG0224", "A protection is switched off", "A stronger layer switches off what a weaker layer switched on.";
    POLICY_UNSUITABLE = "MG0225", "A policy that does not fit the route", "Dynamic routes have fewer options than routes; the policy sets one they do not have.";
    PATH_MISSING = "MG0301", "A path template is missing", "Every route has an UpstreamPathTemplate and a DownstreamPathTemplate that is not empty.";
    PATH_WITHOUT_SLASH = "MG0302", "A path template does not begin with a slash", "Both templates of a route begin with /.";
    PATH_DOUBLE_SLASH = "MG0303", "A path template holds a double slash", "Neither template of a route may hold //.";
    PATH_WITH_SCHEME = "MG0304", "A path template holds a scheme", "Scheme, host and port of the service are DownstreamScheme and DownstreamHostAndPorts.";
    REPEATED_PLACEHOLDER = "MG0305", "A placeholder stands twice in one template", "A value of the path can be taken once and used once.";
    BAD_TEMPLATE = "MG0306", "A malformed template", "A placeholder is a name in braces: {id}.";
    UNKNOWN_PLACEHOLDER = "MG0307", "A placeholder without a value", "DownstreamPathTemplate uses a placeholder that neither UpstreamPathTemplate nor UpstreamHeaderTemplates has. Ocelot sends the placeholder itself.";
    DUPLICATE_ROUTE = "MG0308", "A duplicate route", "Two routes have the same UpstreamPathTemplate, UpstreamHost and UpstreamHeaderTemplates, and a method in common.";
    SHADOWED_ROUTE = "MG0309", "A route that can never match", "Every request it could take is taken by a route before it.";
    BAD_METHOD = "MG0310", "A malformed method", "A method is a word such as GET; PURGE and others of your own are allowed.";
    BAD_HOST_MATCH = "MG0311", "An UpstreamHost that can never match", "It is compared with the Host field without its port: a host name, no scheme, port or path.";
    BAD_HEADER_MATCH = "MG0312", "A malformed header template", "UpstreamHeaderTemplates maps header names to templates with {header:name} placeholders.";
    NO_ROUTES = "MG0313", "No routes", "Without routes every request is answered with 404.";
    NO_ENDPOINTS = "MG0320", "A route without a service", "Without ServiceName a route needs DownstreamHostAndPorts with at least one entry.";
    NO_HOST = "MG0321", "An address without a host", "Every entry of DownstreamHostAndPorts needs a Host.";
    BAD_HOST = "MG0322", "A malformed host", "Host is a host name or an address, without scheme, port or path; or unix: and a socket of this machine.";
    BAD_PORT = "MG0323", "A port out of range", "Ports are 1 to 65535; 0 keeps the port of the incoming request.";
    BAD_SCHEME = "MG0324", "An unknown scheme", "DownstreamScheme is http, https, ws or wss.";
    BAD_HTTP_VERSION = "MG0325", "A malformed HTTP version", "DownstreamHttpVersion is a version such as 1.1 or 2.0.";
    BAD_VERSION_POLICY = "MG0326", "An unknown version policy", "DownstreamHttpVersionPolicy is RequestVersionExact, RequestVersionOrLower or RequestVersionOrHigher, with regard to case.";
    BAD_BACKEND_METHOD = "MG0327", "A malformed DownstreamHttpMethod", "A method is a word such as GET. Ocelot answers 404.";
    BAD_TIMEOUT = "MG0328", "A timeout of zero or less", "Timeout is a time greater than zero. Ocelot takes 90 seconds instead.";
    BAD_HEADER_NAME = "MG0329", "A malformed header name", "Header names are letters, digits and !#$%&'*+-.^_`|~.";
    UNKNOWN_CLUSTER = "MG0330", "An unknown cluster", "DownstreamCluster names one of Clusters, with regard to case.";
    UNUSED_CLUSTER = "MG0331", "An unused cluster", "No route leads to this cluster.";
    CLUSTER_AND_OWN = "MG0332", "A cluster, and settings that are the cluster's", "A route with a DownstreamCluster has no addresses, and none of the options that a cluster has.";
    BAD_WEIGHT = "MG0333", "A weight that means nothing", "Weight is 1 to 1000, and means something where one of several addresses is chosen.";
    BALANCER_SETTING = "MG0334", "A setting that the balancer does not have", "SetCookie is for CookieStickySessions, HashOn for ConsistentHash.";
    BAD_SESSION = "MG0335", "Sessions that cannot be kept", "Key is the name of a cookie, Expiry is greater than zero.";
    BAD_HASH_KEY = "MG0336", "An unknown key to hash", "HashOn is IP, Header:NAME, Cookie:NAME or Path:PLACEHOLDER, a placeholder of every route that leads there.";
    BAD_HEALTH_CHECK = "MG0337", "A health check that cannot be made", "The reference names the least and the greatest value of each setting.";
    SOCKET_PORT = "MG0338", "A socket with a port", "Host names a socket of this machine, which has no port.";
    UNKNOWN_LISTENER = "MG0339", "An unknown listener", "Listeners of a route or an aggregate names those of Listeners on which it answers.";
    UNKNOWN_AUTHENTICATION_SCHEME = "MG0401", "An unknown authentication scheme", "AuthenticationOptions name entries of AuthenticationSchemes, with regard to case.";
    RATE_LIMIT_WITHOUT_CALLS = "MG0402", "A rate limit of zero or less", "RateLimitOptions.Limit of a route is greater than zero.";
    RATE_LIMIT_WITHOUT_PERIOD = "MG0403", "A rate limit without a period", "A route that sets any of RateLimitOptions has its own Period, even if there is a global one.";
    BAD_PERIOD = "MG0404", "A malformed period", "RateLimitOptions.Period is a number and ms, s, m, h or d: 1s.";
    UNKNOWN_BALANCER = "MG0405", "An unknown load balancer", "LoadBalancerOptions.Type is NoLoadBalancer, RoundRobin, LeastConnection or CookieStickySessions, with regard to case. Ocelot answers 500.";
    UNKNOWN_HANDLER = "MG0406", "An unknown stage", "DelegatingHandlers names stages of your own; this gateway has none of that name. Ocelot ignores the name.";
    UNKNOWN_ROUTE_KEY = "MG0407", "A group names no route", "RouteKeys names the Key of a route, with regard to case.";
    BAD_ADDRESS_RANGE = "MG0408", "A malformed address range", "Entries are addresses, ranges such as 10.0.0.1-9, or networks such as 10.0.0.0/8. Ocelot ignores others.";
    BAD_CLAIM_SOURCE = "MG0409", "A malformed claim expression", "It is Claims[type] > value, or Claims[type] > value[index] > delimiter. Ocelot ignores others.";
    NEVER_SUPPORTED = "MG0410", "A setting that this gateway does not have", "Following redirects, keeping cookies for all clients together, the system's proxy and Butterfly tracing are not done here. A warning under Ocelot compatibility.";
    BAD_LIFETIME = "MG0411", "A negative lifetime of connections", "PooledConnectionLifetimeSeconds is zero or more. Ocelot answers 500.";
    BAD_HANDLER_SETTINGS = "MG0419", "Settings that a stage does not take", "HandlerSettings holds an object for each stage that DelegatingHandlers names, with the settings that the stage knows.";
    BAD_HEADER_CHANGE = "MG0420", "A malformed header transform", "It is a value, find,replace, null, or an object with one of Set, Append, Default, or Find with Replace. Headers that frame messages are the gateway's own.";
    BAD_CLAIM_EXPRESSION = "MG0421", "A malformed claim rule", "RouteClaimsExpression is a CEL expression over claims, claim_values, scopes, path, method, headers and client; RouteClaimsRequirement names placeholders of the route.";
    NOBODY_TO_JUDGE = "MG0422", "Claims of nobody", "The route judges or passes on claims and does not say how callers prove who they are: every request is refused.";
    BAD_PATH_CLAIM = "MG0423", "ChangeDownstreamPathTemplate without a placeholder", "Its keys are placeholders of DownstreamPathTemplate. Ocelot answers 404.";
    BAD_PARTITION = "MG0430", "An unknown part of a partition", "PartitionBy holds ClientId (rate limits only), IP, Claim:TYPE, Header:NAME and Route.";
    BAD_COUNT = "MG0431", "A limit that lets nothing through", "Limit and Burst are whole numbers greater than zero, QueueLimit is zero or more.";
    LIMIT_MISSING = "MG0432", "A limit without a number", "ConcurrencyLimitOptions and every entry of Limits have a Limit, and entries of RateLimitOptions.Limits a Period too.";
    USELESS_IN_ALGORITHM = "MG0433", "A setting that the algorithm does not have", "Wait belongs to FixedWindow, Burst to TokenBucket.";
    BAD_STATUS = "MG0434", "A status out of range", "A refusal has a status of 400 to 599. Ocelot sends what is written.";
    BAD_ORIGIN = "MG0435", "A malformed origin", "An origin is scheme, host and perhaps port: https://app.example, https://*.example.com, or * for all.";
    ANY_ORIGIN_WITH_CREDENTIALS = "MG0436", "Credentials for every page", "AllowCredentials together with the origin * or the exposed header * would let every page on the web act in the name of its reader; browsers refuse it.";
    LARGER_THAN_LIMITS = "MG0437", "A route that wants to take more than its connection", "RequestSizeOptions can only be smaller than Limits, which hold before the route is known.";
    BAD_MAX_TIME = "MG0438", "A time out of range", "QueueTimeout is 1ms to 10m, MaxAge 0s to 1d.";
    SCHEME_TYPE = "MG0440", "A scheme of no known type", "The Type of an authentication scheme is JwtBearer, ApiKey, Basic or ClientCertificate.";
    SCHEME_KEYS = "MG0441", "A scheme without keys, or with several sources of them", "JwtBearer has exactly one of SigningKey, PublicKeyFile, JwksFile, JwksUri and Authority; ApiKey has a KeysFile, Basic a UsersFile.";
    SCHEME_FILE = "MG0442", "An unusable file of keys or passwords", "A file that a scheme names cannot be read, or holds something else than it should.";
    WEAK_KEY = "MG0443", "A weak signing key", "A SigningKey has at least as many bytes as the hash of its algorithm: 32 for HS256, 48 for HS384, 64 for HS512.";
    BAD_ALGORITHM = "MG0444", "An algorithm that does not fit", "The kind of the key decides which algorithms are possible; the list can only take some away.";
    BAD_URL = "MG0445", "A malformed address of a provider", "JwksUri and Authority are absolute http or https addresses.";
    SCHEME_SETTING = "MG0446", "A setting that the scheme does not read", "Each Type reads settings of its own; the reference says which.";
    INSECURE_PROVIDER = "MG0447", "Keys over plain http", "Who can change the answer on its way can sign tokens.";
    ANY_AUDIENCE = "MG0448", "Tokens for any audience", "A provider signs tokens for many services; without Audience a token for any of them is taken here.";
    CERTIFICATES_NOT_ASKED = "MG0449", "Certificates that nobody asks for", "The scheme ClientCertificate reads the certificate of the connection; a listener with Tls.ClientCertificates asks for it and verifies it.";
    BAD_QUALITY = "MG0450", "A circuit breaker that cannot be meant", "MinimumThroughput, BreakDuration, SamplingDuration and Timeout of QoSOptions are greater than zero, FailureRatio is at most 1, Scope is Route or Endpoint. Ocelot takes other values instead.";
    TIMEOUTS_DISAGREE = "MG0451", "A time limit within a shorter one", "The Timeout of QoSOptions and the PerTryTimeout of RetryOptions are less than the Timeout of the route. Ocelot takes twice QoSOptions.Timeout for that of the route.";
    BAD_RETRY = "MG0452", "A retry that cannot be meant", "Attempts are 1 to 10, On holds Connect, Reset and Timeout, statuses are 400 to 599, gRPC codes are 1 to 16 or their names, times and sizes are within the ranges that the reference names.";
    BAD_FALLBACK = "MG0453", "A fallback that cannot be meant", "FallbackOptions have a Cluster or a Reply; On holds the words that the reference names, statuses to stand in for are 400 to 599, that of a Reply is 200 to 599, its headers do not frame messages.";
    BAD_CONNECTION_QUEUE = "MG0454", "A queue for connections that cannot be meant", "ConnectionQueueLimit is zero or more, ConnectionQueueTimeout 1ms to 10m, and both belong to a MaxConnectionsPerServer.";
    ANY_CERTIFICATE = "MG0460", "Any certificate is accepted", "DangerousAcceptAnyServerCertificateValidator lets whoever stands between the gateway and the service read and change what is sent. It is for trying things out.";
    TLS_CONTRADICTION = "MG0461", "TLS settings that contradict each other", "CaFile says whom to believe and DangerousAcceptAnyServerCertificateValidator to believe everybody; CertificateFile and KeyFile belong together.";
    BAD_SERVER_NAME = "MG0462", "A malformed server name", "ServerName is a host name or an address, without scheme and port.";
    USELESS_TLS = "MG0463", "TLS settings over plain http", "TlsOptions mean nothing where DownstreamScheme is http.";
    NO_SERVER_NAME = "MG0464", "A socket spoken to over TLS without a name", "A socket of this machine has no name that its certificate could be for: TlsOptions.ServerName says it.";
    CACHE_MODE = "MG0470", "An unknown cache mode", "CacheOptions.Mode is Ocelot, Http or Off.";
    CACHE_SETTING = "MG0471", "A setting that the cache mode does not have", "StaleWhileRevalidate, StaleIfError and NegativeTtl belong to the mode Http, EnableContentHashing to the mode Ocelot.";
    CACHE_METHOD = "MG0472", "A method whose answers are not kept", "Methods are words such as GET; the mode Http keeps answers to GET, HEAD and POST.";
    CACHE_STATUS = "MG0473", "A status whose answers are not kept", "StatusCodes are 200 to 599; parts (206) and 304 are never kept.";
    CACHE_SHARED = "MG0474", "Answers that callers share", "The route asks who calls and gives everybody the same stored answers.";
    CACHE_KEY = "MG0475", "A part of a cache key that is none", "VaryByQuery names parameters or is *, VaryByHeader names header fields, VaryByClaim claims.";
    CACHE_SIZE = "MG0476", "Cache memory that does not fit", "MaxSize is 1MiB to 1TiB, regions with their own MaxSize fit into it together, MaxObjectSize is a quarter of the smallest at most.";
    CACHE_TIME = "MG0477", "A time of the cache out of range", "StaleWhileRevalidate, StaleIfError and NegativeTtl are 0s to 365d.";
    COMPRESSION_ENCODING = "MG0480", "An encoding that there is not", "Encodings of CompressionOptions holds zstd, br and gzip, each once, and at least one of them.";
    COMPRESSION_LEVEL = "MG0481", "A level of compression that there is not", "Level is Fastest, Balanced or Smallest; ZstdLevel and GzipLevel are 1 to 9 and BrotliLevel 1 to 6, for encodings that are among Encodings.";
    COMPRESSION_TYPE = "MG0482", "A media type that cannot be compressed", "ContentTypes holds media types without parameters, such as text/*, application/json or application/*+json, each once; what is compressed already and gRPC never are compressed.";
    COMPRESSION_SIZE = "MG0483", "A least size out of range", "MinSize of CompressionOptions is 0B to 1GiB.";
    ROUTE_AND_AGGREGATE = "MG0501", "An aggregate and a route on the same path", "A GET route and an aggregate have the same UpstreamPathTemplate and UpstreamHost.";
    DUPLICATE_AGGREGATE = "MG0502", "A duplicate aggregate", "Two aggregates have the same UpstreamPathTemplate and UpstreamHost.";
    AGGREGATE_MEMBERS = "MG0503", "An aggregate whose routes do not exist", "Every entry of RouteKeys is the Key of one route.";
    AGGREGATE_REQUEST_ID = "MG0504", "An aggregate's route with a RequestIdKey", "Routes that an aggregate calls may not have a RequestIdKey of their own.";
    AGGREGATE_KEYS = "MG0505", "An aggregate without routes, or with one twice", "RouteKeys names at least one route, each once.";
    AGGREGATE_PATH = "MG0506", "An aggregate with a malformed path", "UpstreamPathTemplate of an aggregate follows the rules of routes.";
    UNKNOWN_AGGREGATOR = "MG0507", "An unknown aggregator", "Aggregator is a template; Ocelot has the name of a class here, which this gateway cannot load. Ocelot answers 404.";
    AGGREGATE_CALL = "MG0508", "A malformed entry of RouteKeysConfig", "An entry names one of RouteKeys, each once; JsonPath and Parameter belong together, and never to the first route, whose answer they are taken from.";
    BAD_JSON_PATH = "MG0509", "A malformed JSONPath", "JsonPath is an expression such as $[*].id or $.items[?(@.price > 5)].id. Ocelot answers 500.";
    BAD_AGGREGATE_TEMPLATE = "MG0510", "A malformed template of an aggregate", "Aggregator and Formats hold Jinja templates, Formats under media types.";
    BAD_ADDRESS = "MG0601", "A malformed address", "An address is an IP address and a port: 127.0.0.1:8080, [::]:80; or a socket of this machine: unix:/run/margay.sock.";
    ADDRESS_TWICE = "MG0602", "An address used twice", "Every listener, and the administration, has an address of its own.";
    LIMIT_RANGE = "MG0603", "A limit out of range", "The reference names the least and the greatest value of each limit.";
    BAD_PROXY = "MG0604", "A malformed proxy address", "TrustedProxies and ProxyProtocol.Trusted hold addresses, ranges and networks.";
    UNKNOWN_FORWARDED_FIELD = "MG0605", "A field that cannot be believed", "ForwardedHeaders.Headers may hold X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host.";
    BAD_CERTIFICATE = "MG0620", "An unusable certificate, key or authority", "A file of certificates or keys cannot be read, holds something else than it should, or certificate and key do not belong together.";
    NO_CERTIFICATES = "MG0621", "TLS without certificates", "A listener with Tls has at least one entry of Certificates.";
    BAD_CERTIFICATE_HOST = "MG0622", "A malformed host of a certificate", "Hosts holds host names, or *. and a host name.";
    HOST_TWICE = "MG0623", "Two certificates for one name", "A name has one certificate, or one for each kind of key.";
    BAD_TLS_VERSION = "MG0624", "A version of TLS that is not spoken", "MinVersion is 1.2 or 1.3.";
    BAD_PROTOCOL = "MG0625", "A protocol that cannot be offered", "Alpn holds the protocols that this gateway speaks.";
    REDIRECT_WITH_TLS = "MG0626", "A redirect to https on https", "RedirectToHttps belongs to a listener without Tls.";
    USELESS_PRELOAD = "MG0627", "A preload that no list would take", "Preload wants IncludeSubDomains and a MaxAge of at least a year.";
    BAD_SOCKET = "MG0630", "A malformed name of a socket", "A socket of this machine is unix: and a path, or unix:@ and a name; the kernel takes 107 bytes.";
    BAD_UNIX_MODE = "MG0631", "A mode of a socket that cannot be meant", "UnixMode is octal, 000 to 0777, and belongs to a listener that is a file.";
    NO_TRUSTED = "MG0632", "A PROXY protocol from anybody", "Who is believed without being known could be anybody: ProxyProtocol has at least one entry of Trusted.";
    USELESS_TRUST = "MG0633", "A trusted proxy that cannot come", "Clients of sockets of this machine have no address: \"unix\" stands for all of them, and for nobody else.";
    UNKNOWN_REGISTRY = "MG0701", "An unknown type of registry", "The Type of a ServiceDiscoveryProvider is one of those that the reference names, without regard to case.";
    NO_REGISTRY = "MG0702", "A service that no registry is asked for", "ServiceName wants a ServiceDiscoveryProvider under GlobalConfiguration, or a Discovery in the cluster.";
    USELESS_IN_REGISTRY = "MG0703", "A setting that the registry does not read", "Each Type of ServiceDiscoveryProvider reads settings of its own; the reference says which.";
    BAD_REGISTRY = "MG0704", "A registry that cannot be asked", "Scheme is http or https, Host a name or an address, Port 1 to 65535 or 0 for the usual one, PollingInterval 10 to 3600000 milliseconds or 0 for the usual one.";
    PLAIN_TOKEN = "MG0705", "A token over plain http", "Who can read on the way to the registry can use the token.";
    SERVICE_AND_ADDRESSES = "MG0706", "A service name and addresses", "With ServiceName the registry says where the service is; the addresses are not used. A warning under Ocelot compatibility.";
    USELESS_DYNAMIC = "MG0707", "Dynamic routes that nothing leads to", "DynamicRoutes hold where there are neither Routes nor Aggregates, and a ServiceDiscoveryProvider. Ocelot ignores others.";
    BAD_DYNAMIC = "MG0708", "A dynamic route without a service, or twice", "Each entry of DynamicRoutes has a ServiceName, and no two have the same name and namespace.";
    BAD_SERVICE_NAME = "MG0709", "A malformed service name", "A name holds letters, digits and ._-, 1 to 253; with ServiceFabric also / and placeholders.";
    UNKNOWN_STORE = "MG0710", "An unknown store", "ConfigurationStore is Consul, or left out.";
    PENDING_PROTOCOLS = "MG0921", "Not supported yet: HTTP/3", "This version does not have it; the setting is refused rather than ignored.";
}

#[cfg(test)]
mod tests {
    use super::TABLE;
    use std::fmt::Write;
    use std::path::Path;

    const FAMILIES: [(&str, &str); 9] = [
        ("MG00", "Reading files, syntax"),
        ("MG01", "Keys and types"),
        ("MG02", "Placeholders, merge, policies"),
        ("MG03", "Routes and templates"),
        ("MG04", "Options"),
        ("MG05", "Aggregates"),
        ("MG06", "Listeners and limits"),
        ("MG07", "Service discovery"),
        ("MG09", "Not supported yet"),
    ];

    const HEAD: &str = "# Diagnostics\n\nWhat `margay check`, a start and a reload say about a configuration, by code. \
        A code never changes its meaning.\nEvery diagnostic names its place and, where there is one, the cure; \
        `margay check --json` prints them for programs.\nThis page is generated from `src/config/codes.rs`.\n";

    fn page() -> String {
        let mut page = HEAD.to_owned();
        for (family, title) in FAMILIES {
            let _ = write!(page, "\n## {title}\n\n| code | | |\n|---|---|---|\n");
            for (code, title, text) in TABLE.iter().filter(|(code, ..)| code.0.starts_with(family)) {
                let _ = writeln!(
                    page,
                    "| {} | {title} | {} |",
                    code.0,
                    text.replace('|', "\\|").replace('<', "&lt;")
                );
            }
        }
        page
    }

    #[test]
    fn the_page_about_diagnostics_is_that_of_the_table() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/diagnostics.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, page()).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(written == page(), "docs/diagnostics.md is behind: run UPDATE=1 cargo test --lib codes");
    }

    #[test]
    fn every_code_belongs_to_a_family() {
        for (code, ..) in TABLE {
            assert!(FAMILIES.iter().any(|(family, _)| code.0.starts_with(family)), "{}", code.0);
        }
    }

    #[test]
    fn the_table_is_sorted_and_has_no_doubles() {
        for pair in TABLE.windows(2) {
            assert!(pair[0].0.0 < pair[1].0.0, "{} before {}", pair[0].0.0, pair[1].0.0);
        }
    }

    #[test]
    fn every_code_has_the_form_mg_and_four_digits() {
        for (code, ..) in TABLE {
            let digits = code.0.strip_prefix("MG").unwrap_or_default();
            assert!(digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()), "{}", code.0);
        }
    }
}
