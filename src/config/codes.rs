//! The one table of all diagnostic codes. A code never changes its meaning and is never reused.
//!
//! Families: MG00 reading files and syntax, MG01 keys and types, MG02 placeholders, merge and policies,
//! MG03 routes and templates, MG04 options, MG05 aggregates, MG06 listeners and limits, MG07 discovery, MG08 hubs, MG09 not supported
//! yet, MG10 API management, MG11 shared state, MG12 administration and telemetry, MG13 web application firewall, MG14 transport routes
//! and roles, MG15 services with partitions.
//! Keep the table sorted.

use super::diagnostics::Code;

/// One line of the table: the code, its title, and its description.
pub type Entry = (Code, &'static str, &'static str);

macro_rules! codes {
    ($($name:ident = $code:literal, $title:literal, $text:literal;)*) => {
        $(#[doc = $title] pub const $name: Code = Code($code);)*
        /// Every code, sorted.
        pub static TABLE: &[Entry] = &[$(($name, $title, $text)),*];
    };
}

codes! {
    FILE_UNREADABLE = "MG0001", "Unreadable file", "The file or directory does not exist, or permission is denied.";
    FILE_TOO_LARGE = "MG0002", "File too large", "A configuration file may have at most 64 MiB, a directory at most 4096 configuration files.";
    NOT_UTF8 = "MG0003", "File is not UTF-8", "Configuration files are JSON in UTF-8, UTF-16 or UTF-32, with or without a byte order mark. Under Ocelot compatibility a warning: an invalid byte is read as U+FFFD, as in .NET.";
    EMPTY_FILE = "MG0004", "Empty file", "The file contains no JSON value.";
    NO_CONFIGURATION = "MG0005", "No configuration found", "The directory contains neither gateway.json nor ocelot.json, nor files named gateway.NAME.json or ocelot.NAME.json.";
    SYNTAX = "MG0010", "JSON syntax error", "The text is not valid JSON at this position; the message contains what was expected and what was found.";
    MISSING_COMMA = "MG0011", "Missing comma", "Members of an object and items of an array are separated by commas.";
    MISSING_COLON = "MG0012", "Missing colon", "The name and the value of a member are separated by a colon.";
    UNCLOSED_STRING = "MG0013", "Missing closing quote", "A string begins and ends with a double quote on the same line.";
    UNCLOSED_BRACE = "MG0014", "Missing closing brace or bracket", "Every { and [ needs a matching } or ].";
    BAD_ESCAPE = "MG0015", "Invalid escape sequence", "Valid escape sequences are \\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\uXXXX.";
    BAD_NUMBER = "MG0016", "Invalid number", "JSON numbers have no leading zeros, no plus sign, and digits on both sides of the decimal point.";
    BAD_WORD = "MG0017", "Unquoted word", "Only true, false and null are written without quotes.";
    TOO_DEEP = "MG0018", "Nesting too deep", "Objects and arrays may be nested at most 64 levels deep.";
    TRAILING_TEXT = "MG0019", "Trailing characters after the JSON value", "A file contains exactly one JSON value.";
    SINGLE_QUOTES = "MG0020", "Single quotes", "Strings use double quotes; single quotes are accepted only under Ocelot compatibility.";
    WRONG_TYPE = "MG0101", "Wrong type", "The setting expects a value of another JSON type.";
    UNKNOWN_KEY = "MG0102", "Unknown setting", "The object has no setting with this name. Names beginning with x- or //, and $schema, are accepted. A warning under Ocelot compatibility.";
    DUPLICATE_KEY = "MG0103", "Duplicate setting", "Names are compared case-insensitively, also in maps.";
    UNKNOWN_CHOICE = "MG0104", "Unknown value", "The setting accepts one of a fixed list of values.";
    OUT_OF_RANGE = "MG0105", "Number out of range", "The number is too small, too large, or not an integer.";
    BAD_TEXT = "MG0106", "Malformed value", "The string does not have the required form, for example a duration such as \"1s\" or a size such as \"4MiB\".";
    UNSET_VARIABLE = "MG0201", "Environment variable not set", "${NAME} refers to a variable that is not set and has no default; ${NAME:-default} sets a default.";
    UNREADABLE_SECRET = "MG0202", "Unreadable placeholder file", "The file in ${file:/path} does not exist, is not readable, is larger than 1 MiB, or is not UTF-8.";
    BAD_PLACEHOLDER = "MG0203", "Malformed placeholder", "Placeholders are ${NAME}, ${NAME:-default} and ${file:/path}; $${ is a literal ${.";
    MERGE_CONFLICT = "MG0210", "Section defined in two files", "The section may be defined in one file only. A warning under Ocelot compatibility.";
    GLOBAL_IGNORED = "MG0211", "Ignored GlobalConfiguration", "In a directory, GlobalConfiguration is read only from gateway.global.json or ocelot.global.json.";
    FILE_IGNORED = "MG0212", "Ignored configuration file", "The file is in the configuration directory and its name matches, but it is not read.";
    OVERLAY_WITHOUT_EFFECT = "MG0213", "Overlay without effect", "ocelot.ENVIRONMENT.json and environment variables are laid over ocelot.json as in .NET: a single value or null does not replace an object or a list.";
    VARIABLES_NOT_READ = "MG0214", "Environment variables not read", "Variables such as Routes__0__Key are values of the configuration under Ocelot compatibility only. Elsewhere a value refers to a variable: ${NAME}.";
    UNKNOWN_POLICY = "MG0220", "Unknown policy", "The policies directory has no file NAME.json for this policy.";
    UNUSED_POLICY = "MG0221", "Unused policy", "No Policies list contains this policy.";
    FORBIDDEN_IN_POLICY = "MG0222", "Setting not allowed in a policy", "A policy contains options that routes inherit; settings that identify a route (path, methods, host, endpoints) are allowed only in the route.";
    RESERVED_POLICY = "MG0223", "Reserved policy name or form", "The name or the form of this policy file is reserved for a future version.";
    POLICY_WEAKENS = "MG0224", "Protection disabled by a stronger layer", "A layer with higher precedence disables a protection that a layer with lower precedence enables.";
    POLICY_UNSUITABLE = "MG0225", "Policy sets options that dynamic routes do not have", "Dynamic routes support fewer options than routes, and the policy sets an option that they do not support.";
    PATH_MISSING = "MG0301", "Missing path template", "Every route needs a non-empty UpstreamPathTemplate and DownstreamPathTemplate.";
    PATH_WITHOUT_SLASH = "MG0302", "Path template without a leading slash", "Both path templates of a route begin with /.";
    PATH_DOUBLE_SLASH = "MG0303", "Double slash in a path template", "Path templates must not contain //.";
    PATH_WITH_SCHEME = "MG0304", "Scheme in a path template", "Set scheme, host and port of the backend with DownstreamScheme and DownstreamHostAndPorts.";
    REPEATED_PLACEHOLDER = "MG0305", "Placeholder used twice", "A template may contain each placeholder only once.";
    BAD_TEMPLATE = "MG0306", "Malformed template", "A placeholder is a name in braces: {id}.";
    UNKNOWN_PLACEHOLDER = "MG0307", "Unknown placeholder", "DownstreamPathTemplate contains a placeholder that neither UpstreamPathTemplate nor UpstreamHeaderTemplates defines. Ocelot sends the placeholder text itself.";
    DUPLICATE_ROUTE = "MG0308", "Duplicate route", "Two routes have the same UpstreamPathTemplate, UpstreamHost and UpstreamHeaderTemplates, and a method in common.";
    SHADOWED_ROUTE = "MG0309", "Unreachable route", "Another route with higher precedence matches every request that this route could match.";
    BAD_METHOD = "MG0310", "Malformed method", "A method is one word such as GET; custom methods such as PURGE are allowed.";
    BAD_HOST_MATCH = "MG0311", "UpstreamHost can never match", "UpstreamHost is compared with the Host header without its port: write a host name without scheme, port and path.";
    BAD_HEADER_MATCH = "MG0312", "Malformed header template", "UpstreamHeaderTemplates maps header names to templates with {header:name} placeholders; the remaining text is a regular expression.";
    NO_ROUTES = "MG0313", "No routes", "Without routes the response to every request is 404.";
    NO_ENDPOINTS = "MG0320", "Route without endpoints", "A route without ServiceName needs DownstreamHostAndPorts with at least one entry.";
    NO_HOST = "MG0321", "Endpoint without Host", "Every entry of DownstreamHostAndPorts needs a Host.";
    BAD_HOST = "MG0322", "Malformed host", "Host is a host name or an IP address without scheme, port and path, or a Unix domain socket: unix:PATH or unix:@NAME.";
    BAD_PORT = "MG0323", "Port out of range", "Ports are 1 to 65535; 0 in DownstreamHostAndPorts means the port of the incoming request.";
    BAD_SCHEME = "MG0324", "Unknown scheme", "DownstreamScheme is http, https, ws or wss.";
    BAD_HTTP_VERSION = "MG0325", "Malformed HTTP version", "DownstreamHttpVersion is a version such as 1.0, 1.1 or 2.0.";
    BAD_VERSION_POLICY = "MG0326", "Unknown version policy", "DownstreamHttpVersionPolicy is RequestVersionExact, RequestVersionOrLower or RequestVersionOrHigher, case-sensitive.";
    BAD_BACKEND_METHOD = "MG0327", "Malformed DownstreamHttpMethod", "A method is one word such as GET. Ocelot responds with 404.";
    BAD_TIMEOUT = "MG0328", "Timeout not greater than zero", "Timeout must be greater than zero. Ocelot uses 90 seconds instead.";
    BAD_HEADER_NAME = "MG0329", "Malformed header name", "Header names consist of letters, digits and !#$%&'*+-.^_`|~.";
    UNKNOWN_CLUSTER = "MG0330", "Unknown cluster", "DownstreamCluster is the name of an entry of Clusters, case-sensitive.";
    UNUSED_CLUSTER = "MG0331", "Unused cluster", "No route uses this cluster.";
    CLUSTER_AND_OWN = "MG0332", "Endpoint settings on a route with DownstreamCluster", "A route with DownstreamCluster must not set DownstreamHostAndPorts, ServiceName, DownstreamScheme, LoadBalancerOptions, HealthCheckOptions, HttpHandlerOptions, TlsOptions or DangerousAcceptAnyServerCertificateValidator: set them on the cluster.";
    BAD_WEIGHT = "MG0333", "Weight out of range or without effect", "Weight must be 1 to 1000. It has no effect with NoLoadBalancer, which always selects the first endpoint.";
    BALANCER_SETTING = "MG0334", "Setting not used by this load balancer", "SetCookie and Scope are used by CookieStickySessions only and not together, HashOn by ConsistentHash only.";
    BAD_SESSION = "MG0335", "Invalid sticky session settings", "Key must be a valid cookie name, Expiry must be greater than zero milliseconds.";
    BAD_HASH_KEY = "MG0336", "Invalid HashOn", "HashOn must be IP, Header:NAME, Cookie:NAME or Path:PLACEHOLDER, where every route to the cluster defines the placeholder.";
    BAD_HEALTH_CHECK = "MG0337", "Invalid health check", "Active: Type Http or Tcp, Port 1 to 65535, Interval 100ms to 1d, Timeout 10ms to 10m and at most Interval, Jitter 0 to 100, HealthyThreshold and UnhealthyThreshold 1 to 1000; Path, ExpectedStatus and ExpectedBody for Http only. Passive: ConsecutiveFailures 1 to 100000, FailureRatio above 0 up to 1, MinimumRequests 1 to 1000000, Window 1s to 1h, EjectionTime and MaxEjectionTime 100ms to 1d, MaxEjectedPercent 1 to 100. Statuses are written 200, 200-299 or 2xx. PanicThreshold is 0 to 100 and requires Active or Passive.";
    SOCKET_PORT = "MG0338", "Port on a Unix domain socket", "Host is a Unix domain socket, which has no port: remove Port.";
    UNKNOWN_LISTENER = "MG0339", "Unknown listener", "Listeners of a route or an aggregate contains names of entries of the section Listeners, or their addresses where they have no Name.";
    NO_PORT = "MG0340", "Endpoint without a port", "The port of a backend must not depend on the request. Without Port the usual port of DownstreamScheme is used, 80 or 443; without both the configuration is invalid. Ocelot uses the port of the incoming request; in compatibility mode it is the port of the listener.";
    UNKNOWN_AUTHENTICATION_SCHEME = "MG0401", "Unknown authentication scheme", "AuthenticationOptions contains names of entries of AuthenticationSchemes, case-sensitive.";
    RATE_LIMIT_WITHOUT_CALLS = "MG0402", "Limit must be greater than zero", "RateLimitOptions.Limit of a route must be greater than zero.";
    RATE_LIMIT_WITHOUT_PERIOD = "MG0403", "Missing Period", "A route that sets any of RateLimitOptions needs its own Period, even if there is a global one.";
    BAD_PERIOD = "MG0404", "Malformed period", "RateLimitOptions.Period is a number and a unit, ms, s, m, h or d: for example 1s.";
    UNKNOWN_BALANCER = "MG0405", "Unknown load balancer", "LoadBalancerOptions.Type is NoLoadBalancer, RoundRobin, LeastConnection, CookieStickySessions, LeastRequest, PeakEwma, Random or ConsistentHash, case-sensitive. Ocelot responds with 500.";
    UNKNOWN_HANDLER = "MG0406", "Unknown custom stage", "DelegatingHandlers contains names of custom stages; this gateway was built without a stage of this name. Ocelot ignores the name.";
    UNKNOWN_ROUTE_KEY = "MG0407", "RouteKeys names an unknown route", "RouteKeys contains values of Key of routes, case-sensitive.";
    BAD_ADDRESS_RANGE = "MG0408", "Malformed address range", "An entry is an address (10.0.0.1), a range (10.0.0.1-9 or 10.0.0.1-10.0.1.9) or a CIDR network (10.0.0.0/8). Ocelot ignores invalid entries.";
    BAD_CLAIM_SOURCE = "MG0409", "Malformed claim expression", "The form is Claims[type] > value, or Claims[type] > value[index] > delimiter. Ocelot ignores invalid entries.";
    NEVER_SUPPORTED = "MG0410", "Unsupported setting", "margay does not support AllowAutoRedirect (following redirects), UseCookieContainer (a cookie store shared by all clients), UseProxy (the system proxy) and UseTracing (Butterfly). A warning under Ocelot compatibility.";
    BAD_LIFETIME = "MG0411", "Negative connection lifetime", "PooledConnectionLifetimeSeconds must be zero or more. Ocelot responds with 500.";
    ISSUER_PATTERN = "MG0412", "Invalid Issuer", "An Issuer is the exact `iss` of tokens; a name in braces is a placeholder for a claim of the same token, with text around it, as in https://login.microsoftonline.com/{tenantid}/v2.0.";
    KEYS_NOT_TRIED = "MG0413", "Signing keys that are never tried", "Without a `kid` in the token and in the key, the first MaxKeysTried keys are tried; every further key costs time for each invalid token.";
    BAD_HANDLER_SETTINGS = "MG0419", "Invalid custom stage settings", "HandlerSettings contains one object per stage in DelegatingHandlers, with the settings that the stage supports.";
    BAD_HEADER_CHANGE = "MG0420", "Malformed header transform", "A transform is a value, find,replace, null (remove the header), or an object with one of Set, Append, Default, or Find with Replace. Headers that frame messages or belong to one connection (Connection, Content-Length, HTTP2-Settings, Keep-Alive, Proxy-Connection, TE, Trailer, Transfer-Encoding, Upgrade) cannot be changed.";
    BAD_CLAIM_EXPRESSION = "MG0421", "Malformed claim rule", "RouteClaimsExpression is a CEL expression over claims, claim_values, scopes, path, method, headers and client; RouteClaimsRequirement may use placeholders of the route.";
    CLAIMS_WITHOUT_AUTHENTICATION = "MG0422", "Claims used without authentication", "The configuration uses claims of the caller, but the route has no authentication scheme: callers have no claims, so a rule that requires one rejects every request.";
    BAD_PATH_CLAIM = "MG0423", "ChangeDownstreamPathTemplate without a placeholder", "The keys of ChangeDownstreamPathTemplate are placeholders of DownstreamPathTemplate. Ocelot responds with 404.";
    BAD_PARTITION = "MG0430", "Unknown PartitionBy entry", "PartitionBy contains ClientId (rate limits only), IP, Claim:TYPE, Header:NAME or Route.";
    BAD_COUNT = "MG0431", "Limit must be greater than zero", "Limit and Burst must be integers greater than zero (with TokenBucket at most 4294967295), QueueLimit must be zero or more.";
    LIMIT_MISSING = "MG0432", "Missing Limit", "ConcurrencyLimitOptions and every entry of its Limits need a Limit; entries of RateLimitOptions.Limits need a Limit and a Period.";
    USELESS_IN_ALGORITHM = "MG0433", "Setting not used by this algorithm", "Wait is used by FixedWindow only, Burst by TokenBucket only.";
    BAD_STATUS = "MG0434", "Status out of range", "The status of a rejected request must be 400 to 599. Ocelot sends any status.";
    BAD_ORIGIN = "MG0435", "Malformed origin", "An origin is a scheme, a host and an optional port: https://app.example, https://*.example.com, or * for all. AllowedOrigins needs at least one entry.";
    ANY_ORIGIN_WITH_CREDENTIALS = "MG0436", "CORS credentials with any origin", "AllowCredentials together with the origin * or the exposed header * would let every website send requests with the user's credentials; browsers reject it.";
    LARGER_THAN_LIMITS = "MG0437", "Route limit larger than the listener's", "RequestSizeOptions can only be smaller than Limits, which apply before the route is known.";
    BAD_MAX_TIME = "MG0438", "Duration out of range", "ConcurrencyLimitOptions.QueueTimeout is 1ms to 10m, CorsOptions.MaxAge 0s to 1d.";
    SCHEME_TYPE = "MG0440", "Unknown authentication scheme type", "The Type of an authentication scheme is JwtBearer, Introspection, ApiKey, Basic, ClientCertificate, HmacSignature, External or OpenIdConnect.";
    SCHEME_KEYS = "MG0441", "No key source, or several", "JwtBearer needs exactly one of SigningKey, PublicKeyFile, JwksFile, JwksUri and Authority; ApiKey needs either KeysFile or Keys, Basic either UsersFile or Users.";
    SCHEME_FILE = "MG0442", "Unusable key or password file", "A file of an authentication scheme cannot be read or has the wrong format, or contains no usable entry.";
    WEAK_KEY = "MG0443", "Weak signing key", "A SigningKey needs at least as many bytes as the hash of its algorithm: 32 for HS256, 48 for HS384, 64 for HS512.";
    BAD_ALGORITHM = "MG0444", "Algorithm does not match the key", "The type of the key determines the possible algorithms, and Algorithms can only restrict them: HS256, HS384 and HS512 for a SigningKey; RS256, RS384, RS512, PS256, PS384 and PS512 for RSA, ES256 for P-256, ES384 for P-384, EdDSA for Ed25519; no HS algorithm with JwksUri or Authority.";
    BAD_URL = "MG0445", "Malformed provider URL", "JwksUri, Authority, IntrospectionEndpoint, PublicUrl and Url are absolute http or https URLs; Url may also be grpc or grpcs, and PublicUrl has no path.";
    SCHEME_SETTING = "MG0446", "Setting not used by this scheme", "JwtBearer uses SigningKey, PublicKeyFile, JwksFile, JwksUri, Authority, Algorithms, Issuer, Audience, ClockSkew, TokenTypes, MaxKeysTried, Header, QueryParameter, KeepQueryParameter and Cookie, and with JwksUri or Authority also CaFile, RefreshInterval and MinimumRefreshInterval; ApiKey uses KeysFile, Keys, Header, QueryParameter and KeepQueryParameter; Basic uses UsersFile, Users and MaxWrongPasswordDelay; ClientCertificate has no further settings. Introspection, HmacSignature, External and OpenIdConnect use the settings whose description begins with their name.";
    INSECURE_PROVIDER = "MG0447", "Signing keys fetched over plain HTTP", "An attacker who can modify the response can sign valid tokens. Use https.";
    ANY_AUDIENCE = "MG0448", "No audience restriction", "An identity provider issues tokens for many services; without Audience a token issued for any of them is accepted.";
    CERTIFICATES_NOT_REQUESTED = "MG0449", "No listener requests client certificates", "The scheme ClientCertificate uses the certificate of the client's connection, and no listener has Tls.ClientCertificates, which requests and verifies it: the scheme rejects every caller.";
    BAD_QUALITY = "MG0450", "Invalid QoSOptions", "MinimumThroughput, BreakDuration, SamplingDuration and Timeout must be greater than zero, FailureRatio above 0 up to 1, Scope Route or Endpoint. Ocelot replaces invalid values.";
    TIMEOUTS_DISAGREE = "MG0451", "Per-try timeout not shorter than the route's Timeout", "QoSOptions.Timeout and RetryOptions.PerTryTimeout, which limit one attempt, must be less than Timeout of the route, which limits all attempts. Ocelot sets the latter to twice QoSOptions.Timeout.";
    BAD_RETRY = "MG0452", "Invalid RetryOptions", "Attempts is 1 to 10; On contains Connect, Reset or Timeout; OnStatus 400 to 599; OnGrpcStatus 1 to 16 or names such as UNAVAILABLE; PerTryTimeout is 1ms to 1h; MinBackoff and MaxBackoff 0s to 1m, with MaxBackoff at least MinBackoff; MaxReplaySize 0B to 16MiB; BudgetRatio 0 to 10; BudgetMinimum 0 to 1000000. At least one retry condition is required.";
    BAD_FALLBACK = "MG0453", "Invalid FallbackOptions", "FallbackOptions needs a Cluster or a Reply. On contains Connect, Reset, Timeout, Malformed, Breaker, NoEndpoint or Busy; OnStatus 400 to 599; Reply.Status is 200 to 599; Reply.Headers must not contain headers that frame messages, nor values with line breaks.";
    BAD_CONNECTION_QUEUE = "MG0454", "Invalid connection queue settings", "ConnectionQueueLimit must be zero or more, ConnectionQueueTimeout 1ms to 10m, and both require MaxConnectionsPerServer.";
    ANY_CERTIFICATE = "MG0460", "Certificate verification disabled", "With DangerousAcceptAnyServerCertificateValidator an attacker between gateway and backend can read and modify the traffic. Use it for tests only; TlsOptions.CaFile trusts a private authority.";
    TLS_CONTRADICTION = "MG0461", "Contradictory TLS settings", "CaFile restricts the trusted authorities, and DangerousAcceptAnyServerCertificateValidator accepts any certificate: use only one of them. CertificateFile and KeyFile must be set together.";
    BAD_SERVER_NAME = "MG0462", "Malformed server name", "ServerName is a host name or an IP address, without scheme and port.";
    USELESS_TLS = "MG0463", "TlsOptions without TLS", "TlsOptions has no effect where DownstreamScheme is http.";
    NO_SERVER_NAME = "MG0464", "TLS over a Unix domain socket needs ServerName", "A Unix domain socket has no host name to verify the certificate against: set TlsOptions.ServerName, or DownstreamScheme http.";
    CACHE_MODE = "MG0470", "Unknown cache mode", "CacheOptions.Mode is Ocelot, Http or Off.";
    CACHE_SETTING = "MG0471", "Setting not used by this cache mode", "StaleWhileRevalidate, StaleIfError and NegativeTtl are used in mode Http only, EnableContentHashing in mode Ocelot only.";
    CACHE_METHOD = "MG0472", "Method not cacheable", "Methods are words such as GET; mode Http stores responses to GET, HEAD and POST only.";
    CACHE_STATUS = "MG0473", "Status not cacheable", "StatusCodes are 200 to 599, except 206 (partial content) and 304.";
    CACHE_SHARED = "MG0474", "Cached responses shared between authenticated callers", "The route authenticates callers and serves the same cached responses to all of them. VaryByIdentity true stores responses per caller; VaryByIdentity false confirms sharing.";
    CACHE_KEY = "MG0475", "Invalid cache key part", "VaryByQuery contains parameter names or *, VaryByHeader valid header names, VaryByClaim non-empty claim names.";
    CACHE_SIZE = "MG0476", "Cache sizes out of range or inconsistent", "MaxSize is 1MiB to 1TiB; regions with their own MaxSize must fit into it together, with 1MiB left for the others; MaxObjectSize is 1B to a quarter of the smallest of them.";
    CACHE_TIME = "MG0477", "Cache duration out of range", "StaleWhileRevalidate, StaleIfError and NegativeTtl are 0s to 365d.";
    COMPRESSION_ENCODING = "MG0480", "Unknown content coding", "CompressionOptions.Encodings contains zstd, br and gzip, each at most once, and at least one of them.";
    COMPRESSION_LEVEL = "MG0481", "Invalid compression level", "Level is Fastest, Balanced or Smallest; ZstdLevel and GzipLevel are 1 to 9, BrotliLevel is 1 to 6, and the coding must be in Encodings.";
    COMPRESSION_TYPE = "MG0482", "Invalid or never compressed media type", "ContentTypes contains media types without parameters, such as text/*, application/json or application/*+json, each at most once. Compressed formats and gRPC are never compressed.";
    COMPRESSION_SIZE = "MG0483", "MinSize out of range", "CompressionOptions.MinSize is 0B to 1GiB.";
    ROUTE_AND_AGGREGATE = "MG0501", "Aggregate and route on the same path", "A GET route and an aggregate have the same UpstreamPathTemplate and UpstreamHost.";
    DUPLICATE_AGGREGATE = "MG0502", "Duplicate aggregate", "Two aggregates have the same UpstreamPathTemplate and UpstreamHost.";
    AGGREGATE_MEMBERS = "MG0503", "Aggregate names an unknown route", "Every entry of RouteKeys must be the Key of exactly one route.";
    AGGREGATE_REQUEST_ID = "MG0504", "Aggregate route with RequestIdKey", "A route that an aggregate calls must not have its own RequestIdKey.";
    AGGREGATE_KEYS = "MG0505", "Aggregate without routes, or with duplicates", "RouteKeys contains at least one route, each at most once.";
    AGGREGATE_PATH = "MG0506", "Malformed aggregate path", "UpstreamPathTemplate of an aggregate follows the rules for routes: it begins with /, contains no // and no scheme, and each placeholder once.";
    UNKNOWN_AGGREGATOR = "MG0507", "Unknown aggregator", "Aggregator is a template. In Ocelot it is the name of a C# class, which margay cannot load. Ocelot responds with 404.";
    AGGREGATE_CALL = "MG0508", "Invalid RouteKeysConfig entry", "An entry names one of RouteKeys, each at most once; JsonPath and Parameter must be set together, and not for the first route, whose response provides the values.";
    BAD_JSON_PATH = "MG0509", "Malformed JSONPath", "JsonPath is an expression such as $[*].id or $.items[?(@.price > 5)].id. Ocelot responds with 500.";
    BAD_AGGREGATE_TEMPLATE = "MG0510", "Malformed aggregate template", "Aggregator and Formats contain Jinja templates; the keys of Formats are media types other than application/json.";
    BAD_ADDRESS = "MG0601", "Malformed address", "An address is an IP address and a port (127.0.0.1:8080, [::]:80) or a Unix domain socket (unix:/run/margay.sock). Dns.Servers contains IP addresses with an optional port.";
    ADDRESS_TWICE = "MG0602", "Address used twice", "Every listener and the administration need different addresses; names of listeners must be unique.";
    LIMIT_RANGE = "MG0603", "Limit out of range", "Limits: MaxRequestLineSize 256B to 1MiB; MaxRequestHeadersTotalSize 1KiB to 16MiB; MaxRequestHeaderCount 1 to 10000; RequestHeadersTimeout 100ms to 1h; KeepAliveTimeout and BodyIdleTimeout 100ms to 1d; ConnectTimeout 1ms to 10m; BackendIdleTimeout 1s to 1d; ShutdownDelay and DrainTimeout 0s to 1h; BytesPerSecond 0 to 1000000000 and GracePeriod 100ms to 1h of a data rate; MaxBufferingMemory 1MiB to 1TiB; WebSocketIdleTimeout 1s to 30d; MaxCompressionMemory 1MiB to 1TiB; StreamWindowSize 65535B to 16MiB; MaxConcurrentStreams 1 to 100000; MaxConnectionOptions 1 to 10000; the other counts 1 to 1000000000. Buffering: 0B to 16MiB. Dns: MinTtl 1s to 1h, MaxTtl 1s to 1d and at least MinTtl, Timeout 100ms to 30s. Listeners: HandshakeTimeout and ProxyProtocol.Timeout 100ms to 10m, StrictTransportSecurity.MaxAge 0s to 3650d. AuthenticationSchemes: ClockSkew 0s to 1h, RefreshInterval 10s to 1d, MinimumRefreshInterval 1s to 10m. Aggregates: sizes 1B to 1GiB, MaxCalls 1 to 10000, MaxConcurrency 1 to 1000.";
    BAD_PROXY = "MG0604", "Malformed proxy address", "TrustedProxies and ProxyProtocol.Trusted contain addresses (10.0.0.1), ranges (10.0.0.1-9) and CIDR networks (10.0.0.0/8); Trusted also \"unix\".";
    UNKNOWN_FORWARDED_FIELD = "MG0605", "Unknown forwarded header", "ForwardedHeaders.Headers may contain X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host and Forwarded.";
    BAD_CERTIFICATE = "MG0620", "Unusable certificate, key or authority", "A certificate or key file cannot be read or has the wrong format, or the key does not match the certificate.";
    NO_CERTIFICATES = "MG0621", "TLS without certificates", "A listener with Tls needs at least one entry in Certificates.";
    BAD_CERTIFICATE_HOST = "MG0622", "Invalid certificate host pattern", "Hosts contains host names, or wildcards of one level: *.example.com.";
    HOST_TWICE = "MG0623", "Two certificates for the same host", "A host may have one certificate for each key type (RSA, ECDSA, Ed25519).";
    BAD_TLS_VERSION = "MG0624", "Unsupported TLS version", "MinVersion is 1.2 or 1.3.";
    BAD_PROTOCOL = "MG0625", "Unsupported ALPN protocol", "Alpn may contain h2 and http/1.1.";
    REDIRECT_WITH_TLS = "MG0626", "RedirectToHttps on a TLS listener", "RedirectToHttps is valid on a listener without Tls only.";
    USELESS_PRELOAD = "MG0627", "HSTS preload requirements not met", "Preload requires IncludeSubDomains and a MaxAge of at least 365d.";
    REDIRECT_HOSTS = "MG0628", "Invalid RedirectHosts", "RedirectHosts contains host names, wildcards of one level (*.example.com) or *, and is valid with RedirectToHttps only.";
    BAD_SOCKET = "MG0630", "Invalid Unix domain socket address", "A Unix domain socket is unix: and a path, or unix:@ and a name in the abstract namespace, at most 107 bytes long.";
    BAD_UNIX_MODE = "MG0631", "Invalid UnixMode", "UnixMode is octal, 000 to 0777, and is valid only for a listener on a Unix domain socket with a path.";
    NO_TRUSTED = "MG0632", "PROXY protocol without trusted proxies", "A peer that may send the PROXY header can claim any client address: ProxyProtocol needs at least one entry in Trusted.";
    USELESS_TRUST = "MG0633", "Trusted address that can never connect", "Clients of a Unix domain socket have no IP address: Trusted of such a listener contains \"unix\" only, and that of a TCP listener contains addresses only.";
    UNKNOWN_REGISTRY = "MG0701", "Unknown discovery provider type", "ServiceDiscoveryProvider.Type is Consul, PollConsul, Kube, PollKube, WatchKube, Eureka, Dns, DnsSrv, File or ServiceFabric, case-insensitive.";
    NO_REGISTRY = "MG0702", "ServiceName without a discovery provider", "ServiceName needs a ServiceDiscoveryProvider under GlobalConfiguration, or a Discovery in the cluster; ServiceFabric supports routes only. ConfigurationStore needs a Consul provider.";
    USELESS_IN_REGISTRY = "MG0703", "Setting not used by this provider", "Consul and PollConsul use Scheme, Host, Port, CaFile, Token, PollingInterval, Namespace, Datacenter, Tags, ServiceMetadata, UseNodeName and Stale; Kube, PollKube and WatchKube use Scheme, Host, Port, CaFile, Token, PollingInterval, Namespace and EndpointSlices; Eureka uses Scheme, Host, Port, CaFile, Token, PollingInterval and Path; ServiceFabric uses Scheme, Host, Port, Token, PollingInterval and Namespace; Dns uses Port, PollingInterval and Namespace; DnsSrv uses PollingInterval and Namespace; File uses PollingInterval and File. CaFile requires Scheme https, ConfigurationKey a ConfigurationStore.";
    BAD_REGISTRY = "MG0704", "Invalid discovery provider settings", "Scheme is http or https, Host a host name or an address, Port 1 to 65535 or 0 for the default, PollingInterval 10 to 3600000 milliseconds or 0 for the default, Path an absolute path, CaFile a PEM file; File is required for the type File.";
    PLAIN_TOKEN = "MG0705", "Token sent over plain HTTP", "An attacker on the network can read the token of the discovery provider and use it. Set Scheme to https.";
    SERVICE_AND_ADDRESSES = "MG0706", "ServiceName and addresses on one route", "With ServiceName the endpoints come from service discovery, and the configured addresses are not used. A warning under Ocelot compatibility.";
    USELESS_DYNAMIC = "MG0707", "Unused DynamicRoutes", "DynamicRoutes is used only without Routes and Aggregates, and with a ServiceDiscoveryProvider. Ocelot ignores it otherwise.";
    BAD_DYNAMIC = "MG0708", "Dynamic route without or with duplicate service", "Each entry of DynamicRoutes needs a ServiceName, and no two entries may have the same name and namespace.";
    BAD_SERVICE_NAME = "MG0709", "Malformed service name", "A service name has 1 to 253 characters: letters, digits and ._-; with ServiceFabric also / and placeholders.";
    UNKNOWN_STORE = "MG0710", "Unknown configuration store", "ConfigurationStore is Consul, or absent.";
    UNKNOWN_HUB_SERVICE = "MG0801", "Unknown hub service", "DownstreamHubService is the name of one of HubServices. Names are case-sensitive.";
    HUB_SERVICE_AND_ENDPOINTS = "MG0802", "Backend settings on a route with DownstreamHubService", "A route with DownstreamHubService has no backend, and none of the options that concern one: addresses, cluster, service, scheme, HTTP version, load balancing, health checks, TLS, QoS, retries, fallback, cache and compression.";
    HUB_SERVICE_INCOMPLETE = "MG0803", "Incomplete hub service", "A hub service needs a Type, WebPubSub or SignalR, and at least one entry in Hubs; the name * applies to every hub without an entry.";
    BAD_HUB_KEY = "MG0804", "Invalid keys of a hub service", "Keys are one or two different secrets of at least 32 bytes; the first one signs, both verify.";
    BAD_HUB_NAME = "MG0805", "Invalid hub name", "A hub name is a letter, then up to 127 letters, digits and _`,.[]; names are case-insensitive.";
    BAD_PUBLIC_URL = "MG0806", "Invalid public URL of a hub service", "PublicUrls are absolute http or https URLs without a query; with a path if the service is mounted below one.";
    NO_PUBLIC_URLS = "MG0807", "Hub service without public URLs", "Without PublicUrls tokens for any host are accepted, and the path of the request is compared: a token for another installation with the same keys is valid here too.";
    BAD_HANDLER_URL = "MG0808", "Invalid URL of an event handler", "UrlTemplate is an absolute http or https URL, with DownstreamCluster a path; {hub}, {event} and for SignalR {category} may be in path and query, never in scheme, host or port.";
    BAD_EVENT_PATTERN = "MG0809", "Invalid events of an event handler", "UserEventPattern is * or names separated by commas; SystemEvents are connect, connected, disconnected, joined and left. Of SignalR: CategoryPattern and EventPattern are * or names separated by commas; categories are connections and messages.";
    SHADOWED_EVENT_HANDLER = "MG0810", "Event handler without events", "Only the first handler that matches an event receives it: earlier handlers match all events of this one.";
    BAD_HANDLER_HEADER = "MG0811", "Invalid header of an event handler", "Headers are names and values of HTTP header fields; Host, Connection, Content-*, ce-*, WebHook-* and X-ASRS-* are set by the gateway.";
    HUB_RANGE = "MG0812", "Hub setting out of range", "The message contains the range. Limits of a hub apply to open connections when the configuration is reloaded.";
    BAD_SERVER_SCHEME = "MG0813", "Invalid server scheme of a hub service", "ServerSchemes are names of AuthenticationSchemes of the type JwtBearer.";
    BAD_NODE_NAME = "MG0814", "Invalid node name", "Realtime.NodeName is 1 to 32 letters, digits and _; unique among the nodes.";
    BAD_NEGOTIATION = "MG0815", "Invalid negotiation", "NegotiateOptions need DownstreamHubService, and a Hub of that service; placeholders in Roles and Groups are {claim:TYPE}.";
    OPEN_NEGOTIATION = "MG0816", "Negotiation without authentication", "Every caller of the route gets an access token for the hub. Add AuthenticationOptions.";
    HUB_IN_AGGREGATE = "MG0817", "Hub route in an aggregate", "A route with DownstreamHubService cannot be a part of an aggregate.";
    NO_HUB_BACKPLANE = "MG0818", "Backplane without shared state", "Realtime.Backplane Shared needs SharedState, which connects the nodes.";
    BAD_SIGNALR = "MG0820", "Invalid SignalR options", "SignalROptions belong to a route with a cluster of SignalR servers: Affinity is Token, Cookie or None, Key has at least 32 bytes, CookieName is the name of a cookie.";
    SIGNALR_KEY = "MG0821", "SignalR affinity without a key", "Without SignalROptions.Key every gateway process generates one: connections do not survive a restart, and several gateways do not accept the tags of each other.";
    SIGNALR_TIMEOUT = "MG0822", "Timeout shorter than a long poll", "SignalR servers hold a long poll for 90 to 100 seconds; a shorter Timeout of the route ends each poll with 504.";
    FOREIGN_HUB_SETTING = "MG0823", "Setting of another type of hub service", "Some settings of hubs and event handlers exist for Web PubSub only, others for SignalR only; the reference lists them.";
    BAD_TRANSPORT = "MG0824", "Unknown transport", "Transports of a SignalR hub are WebSockets, ServerSentEvents and LongPolling.";
    POLICY_NOT_YET = "MG0910", "Not supported yet: policy statement", "This version does not have the statement or the attribute of a policy document; it is refused rather than ignored.";
    PENDING_PROTOCOLS = "MG0921", "Not supported yet: HTTP/3", "This version does not support HTTP/3 as the only acceptable version; the setting is rejected rather than ignored.";
    POLICY_STATEMENT = "MG1001", "Unknown statement", "A policy document contains statements of the table in docs/policy-statements.md; an object has one statement, apart from id, // and x-... members.";
    POLICY_ATTRIBUTE = "MG1002", "Missing or invalid attribute", "A statement lacks an attribute that it needs, or an attribute has a value that it cannot have.";
    POLICY_PLACE = "MG1003", "Statement in the wrong place", "A statement stands in a section or a scope where it may not stand, or more often than it may.";
    POLICY_BASE = "MG1004", "Misplaced base", "base stands directly in a section, once; fragments have none.";
    POLICY_FRAGMENT = "MG1005", "Unknown or circular fragment", "include-fragment contains the id of a file in policies/fragments; fragments may include fragments, 8 deep, without a circle.";
    NAMED_VALUE = "MG1006", "Unknown or invalid named value", "{{name}} in a policy document refers to an entry of NamedValues.";
    POLICY_EXPRESSION = "MG1007", "Invalid expression", "An expression is CEL in @( ), of at most 16 KiB; docs/policy-expressions.md lists the members of context and the functions.";
    POLICY_ORPHAN = "MG1008", "Policy document without owner", "The document belongs to an API, an operation, a product or a workspace that does not exist: it would protect nothing.";
    API_ENTITY = "MG1009", "Invalid API management entity", "An entry of Apis, Products, Subscriptions, Users, Groups, Backends, VersionSets, NamedValues, Loggers, Identities or ApiManagement has a value that it cannot have.";
    UNKNOWN_ENTITY = "MG1010", "Unknown API management entity", "The setting contains the id of another entity, which does not exist.";
    POLICY_BACKEND = "MG1011", "Unknown backend, logger or identity", "A statement names an entry of Backends, Clusters, Loggers or Identities that does not exist.";
    POLICY_XML = "MG1012", "Malformed policy XML", "The document is not well-formed in the form that Azure API Management accepts, or it contains a DTD.";
    STORED_ENTITY_IGNORED = "MG1013", "Entity of the store ignored", "An entity or a policy document has one owner: the files or the store. The files have precedence.";
    PROTECTION_LOST = "MG1020", "Inherited protection lost", "The inbound section has no base, and a broader document has a statement that protects.";
    NO_FORWARD_REQUEST = "MG1021", "No forward-request", "The effective backend section has no forward-request, and no statement of it answers: every response is empty.";
    LIMIT_WITHOUT_SUBSCRIPTION = "MG1022", "Limit without subscription", "rate-limit and quota count by subscription; without one they do nothing.";
    PRODUCT_DOCUMENT_SKIPPED = "MG1023", "Product document does not run for a subscription", "Documents of products do not run for subscriptions of an API or of all APIs.";
    CORS_NOT_FIRST = "MG1024", "cors is not the first statement", "Statements in front of cors run for requests from other origins before they are rejected.";
    POLICY_CALLOUT_TARGET = "MG1025", "Call-out to a host that clients choose", "The URL of a call-out is built from the request, and ApiManagement.Callouts.Allow is empty.";
    UNUSED_FRAGMENT = "MG1026", "Unused fragment", "No document includes this fragment.";
    BAD_SHARED_STATE = "MG1101", "Invalid shared state", "SharedState needs Url: redis://host:port/database, rediss://host:port or unix:/path, without user and password; a list with Mode sentinel or cluster. Timeout is 1ms to 10s, Connections 1 to 16, Prefix 1 to 64 letters, digits and ._-; Tls needs rediss://, Sentinel settings need Mode sentinel.";
    SHARED_STATE_PLAIN = "MG1102", "Password of the shared state sent without TLS", "An attacker on the network can read the password and change the shared state. Use rediss://, or a server on this machine.";
    NO_SHARED_STATE = "MG1103", "Shared scope without shared state", "A setting that several gateways share needs the section SharedState with the Url of a Redis server.";
    USELESS_LEASE = "MG1104", "Lease without shared scope", "Lease is the number of calls that a gateway may count ahead on the shared state: it needs Scope Shared.";
    BAD_LEASE = "MG1105", "Invalid lease", "Lease is Adaptive, or a number of calls from 1 to 100000.";
    UNKNOWN_SERVICE = "MG1201", "Unknown internal service", "DownstreamService is the name of a service of the gateway itself: administration, ServiceFabricNaming, or Roles for the directory of roles. Names are case-sensitive.";
    SERVICE_AND_ENDPOINTS = "MG1202", "Endpoint settings on a route with DownstreamService", "A route with DownstreamService has no endpoints, and none of the options that concern them: addresses, cluster, scheme, HTTP version, load balancing, health checks, TLS, QoS, retries and fallback.";
    ADMINISTRATION_UNPROTECTED = "MG1203", "Administration address without credentials", "An address that is neither loopback nor a Unix domain socket needs Administration.Tokens, or Administration.Tls with ClientCertificates. Health.Address serves /live, /ready and /metrics alone, without credentials.";
    BAD_ADMIN_TOKEN = "MG1204", "Invalid administration token", "An entry of Administration.Tokens has a unique Name, and a Hash: sha256: and the SHA-256 of the token in 64 hexadecimal digits.";
    ADMINISTRATION_PLAIN = "MG1205", "Administration tokens over plain HTTP", "An attacker on the network can read the tokens and use them. Set Administration.Tls.";
    ADMINISTRATION_TARGET = "MG1206", "Target is the administration address", "No endpoint, discovery provider, key URL or redirect may lead to the administration address: clients could control the gateway. Such a connection is also refused when it is opened.";
    BAD_ACCESS_LOG = "MG1240", "Invalid access log", "AccessLog is true, false or an object. It has File or Syslog, and Format or Template. MaxSize is 64KiB to 1TiB, MaxFiles 1 to 1000; both need File, as SyslogFacility and AppName need Syslog.";
    BAD_LOG_TEMPLATE = "MG1241", "Malformed access log template", "Template is a Jinja template over the fields of the JSON form of an access record (docs/telemetry.md).";
    BAD_SYSLOG = "MG1242", "Invalid syslog server", "Syslog is unix:/dev/log for a Unix datagram socket, or udp:host:port; SyslogFacility is the name of a facility, such as local0.";
    BAD_SAMPLE_RATIO = "MG1243", "Sample ratio out of range", "SampleRatio is between 0 and 1.";
    BAD_OTLP = "MG1244", "Invalid OTLP collector", "Otlp.Endpoint is an http or https URL without query; Timeout is 100ms to 1m, QueueSize 64 to 1000000. Headers are HTTP header names and values; CaFile is a PEM file and needs https.";
    NO_OTLP = "MG1245", "No OTLP collector", "Tracing, Metrics.Otlp and AccessLog.Otlp need Otlp with an Endpoint.";
    BAD_TRACING = "MG1246", "Invalid tracing", "Tracing needs TraceContext, because its spans continue the trace of traceparent; SlowStage is 0s to 1m.";
    PLAIN_OTLP_HEADERS = "MG1247", "OTLP headers sent over plain HTTP", "An attacker on the network can read the headers, which often contain a token. Use an https endpoint, or one on this machine.";
    BAD_METRICS = "MG1248", "Invalid metrics settings", "Metrics.OtlpInterval is 1s to 1h and needs Metrics.Otlp.";
    TEST_REQUEST = "MG1250", "Malformed request of a test", "Request is a method and a URL or path, such as GET /orders/7; From is an IP address, Listener the name of a listener, and Headers contains valid names and values.";
    TEST_UNKNOWN_NAME = "MG1251", "Test expects an unknown name", "Expect.Route is the Key or the UpstreamPathTemplate of a route or an aggregate, Expect.Cluster the name of one of Clusters, Expect.Code an error code; margay help error lists the codes.";
    TEST_EXPECTATION = "MG1252", "Unusable expectation of a test", "Expect needs at least one setting. Status, Code and Headers are about a response of the gateway itself, Cluster and Downstream about a request to a backend: a test expects one or the other.";
    DATA_DIRECTORY = "MG1253", "Invalid DataDirectory", "DataDirectory is the path of a directory; a relative path is resolved against the configuration file.";
    WAF_POLICY = "MG1301", "Unknown WAF policy", "Waf is Off, Detection, Prevention, or the name of an entry of WafPolicies.";
    WAF_POLICY_NAME = "MG1302", "Reserved WAF policy name", "Off, Detection and Prevention are built in and cannot be entries of WafPolicies.";
    WAF_POLICY_UNUSED = "MG1303", "Unused WAF policy", "No GlobalConfiguration, listener or route names the policy in Waf.";
    WAF_OFF = "MG1304", "WAF switched off", "A route or a listener is not inspected, although a document above it enables the firewall.";
    WAF_SETTING = "MG1305", "WAF setting out of range", "The setting has a minimum and a maximum; the message contains them.";
    WAF_MANAGED_RULE = "MG1306", "Unknown managed rule", "The loaded rules contain no rule of this id, or no group of this number; margay waf rules lists them.";
    WAF_EXCLUSION = "MG1307", "Invalid WAF exclusion", "An exclusion has Variable and, for parts with names, Selector; a Selector that begins with $ is a path to a JSON member.";
    WAF_CUSTOM_RULE = "MG1308", "Invalid custom rule", "A custom rule has Name, Priority, Action and Conditions, with the variables, operators and transforms of docs/waf.md.";
    WAF_BOTS = "MG1309", "Invalid bot setting", "Bots has addresses or networks, and verified bots with Agent and Domains.";
    WAF_RULES = "MG1310", "Rules of the firewall cannot be loaded", "A rule file is missing, older than version 3.3, or has a directive that is not supported; the message contains file and line.";
    WAF_RULES_WARNING = "MG1311", "Rules of the firewall", "A directive of a rule file has no effect, or the rule set is old.";
    WAF_COUNTRY_FILE = "MG1312", "Country database cannot be read", "WafEngine.CountryFile is a MaxMind DB file with countries.";
    TRANSPORT_OPTION = "MG1401", "Invalid transport option", "TransportOptions: a timeout or a limit is out of its range, or has no effect on the transport of the listener. HalfCloseTimeout is at most IdleTimeout; the PROXY protocol is not sent to UDP services.";
    ACCESS_RULE = "MG1402", "Invalid access rule", "An entry of AccessRules has a unique Order (0 to 65535), an Action (Permit or Deny) and a Remote (an address or a network). AccessRules and SecurityOptions are not set together.";
    UNREACHABLE_RULE = "MG1403", "Access rule that never decides", "A rule with a lower Order contains all addresses of this one.";
    TRANSPORT_LISTENER = "MG1404", "Setting without effect on a transport listener", "Listeners with Protocol Tcp have no settings of HTTP; those with Udp have neither Tls nor ProxyProtocol, and no Unix domain socket.";
    PORT_RANGE = "MG1405", "Invalid range of ports", "A range has the lower port first, and at most 1024 ports between 1 and 65535.";
    TRANSPORT_ROUTE = "MG1406", "Invalid transport route", "A transport route names at least one listener, all with Protocol Tcp or all with Udp. An HTTP listener with Tls may be named by routes with TlsMode Passthrough and UpstreamServerNames. UDP has neither server names nor ALPN.";
    TRANSPORT_SERVER_NAME = "MG1407", "Invalid server name", "UpstreamServerNames are host names without a dot at the end, or *. and a host name.";
    TRANSPORT_UNREACHABLE = "MG1408", "Transport route that never matches", "The conditions of the route hold for no connection.";
    TRANSPORT_TLS = "MG1409", "Transport route and TLS do not fit", "TlsMode Terminate needs Tls on the listener. A route that passes TLS through on a listener with Tls needs UpstreamServerNames. TlsOptions need TLS to the service.";
    TRANSPORT_DUPLICATE = "MG1410", "Transport routes with the same conditions", "Two transport routes of one listener have the same server name and the same protocol, or neither.";
    TRANSPORT_UNUSED = "MG1411", "Listener without a transport route", "No transport route names the listener, so all its connections are refused.";
    TRANSPORT_BALANCER = "MG1412", "Load balancer needs requests", "CookieStickySessions, and ConsistentHash with another HashOn than IP, select by the content of requests; a transport route forwards bytes.";
    ROLE_NAME = "MG1420", "Invalid name of a role or endpoint", "Names of roles and endpoints have 1 to 63 letters, digits, - and _; they differ by more than their case, from the names of clusters, and as server names of the internal listener.";
    ROLE_COUNT = "MG1421", "Too many roles", "A document has at most 1000 roles and 10000 instances, a role at most 64 endpoints.";
    ROLE_INSTANCE = "MG1422", "Invalid instance", "An instance has a Host, and an Id of 1 to 128 letters, digits, -, _ and . that is unique in its role. Ports name endpoints whose port is dynamic.";
    ROLE_IDENTITY = "MG1423", "Invalid or shared identity", "A certificate name, a subject or a network (with the same prefix length) identifies instances of one role only.";
    ROLE_WITHOUT_IDENTITY = "MG1424", "Instance without identity", "Traffic rules never recognize the instance: its Host is no address, and it has no Identity.";
    ROLE_ENDPOINT = "MG1425", "Invalid endpoint of a role", "An endpoint has a Kind, a Protocol of that kind, and only settings of that kind. https needs Tls unless it is passed through; any needs a Port or a PortRange.";
    ROLE_PORTS = "MG1426", "Fewer public ports than instances", "Instances for which PublicPorts has no port are not reachable from outside.";
    ROLE_OPTION = "MG1427", "Invalid role option", "RoleOptions: InternalListener needs an Address, a Domain, and Tls with ClientCertificates; RegistrationTtl is 10s to 1d.";
    TRAFFIC_RULE = "MG1430", "Invalid traffic rule", "From names roles or *, To names internal endpoints as Role.Endpoint, or Role.*.";
    EMPTY_RULE = "MG1431", "Traffic rule without a source", "From is empty: the rule admits no role.";
    RULES_OPEN = "MG1432", "Traffic rules admit every source", "UnknownSource and DefaultAction are both Allow.";
    RULES_WITHOUT_EFFECT = "MG1433", "Traffic rules without effect", "No internal endpoint has a GatewayPort, and there is no InternalListener: no traffic that the rules are about passes through the gateway.";
    OPEN_REGISTRATION = "MG1434", "Registration without authentication", "RoleOptions.Registration is Any, and a route to the directory has no AuthenticationOptions: every client of the route can register instances.";
    PORT_IN_USE_BY_SYSTEM = "MG1435", "Port of the ephemeral range", "The kernel assigns ports of this range (net.ipv4.ip_local_port_range) to outgoing connections, so that the listener may not start.";
    PRIVILEGED_PORT = "MG1436", "Privileged port", "Ports below net.ipv4.ip_unprivileged_port_start need the capability CAP_NET_BIND_SERVICE.";
    FABRIC_RESOLVER = "MG1501", "Invalid resolver of services", "A resolver of ServiceFabric.Resolvers has a Type and the settings of that type: File for a Registry, Endpoints for a Cluster.";
    FABRIC_UNKNOWN_RESOLVER = "MG1502", "Unknown resolver of services", "ServiceFabricOptions.Resolver is the name of one of ServiceFabric.Resolvers; it may be absent if there is exactly one.";
    FABRIC_UNUSED_RESOLVER = "MG1503", "Unused resolver of services", "No route uses this resolver.";
    FABRIC_REGISTRY = "MG1504", "Invalid registry file", "The file of a registry is used as a whole or not at all; the message contains the place of the mistake in the file.";
    FABRIC_REGISTRY_DOUBT = "MG1505", "Registry file with a partition without a primary", "A stateful partition without a primary serves only requests for secondaries.";
    FABRIC_OPTIONS = "MG1506", "Invalid ServiceFabricOptions", "By address, Services is required and the settings of a single service are not allowed; by route, ServiceName is required. Placeholders must have a value of the route.";
    FABRIC_CONFLICT = "MG1507", "Setting not allowed with ServiceFabricOptions", "The endpoints and the attempts of a route with ServiceFabricOptions come from its resolver and its options.";
    FABRIC_OPEN = "MG1508", "All services are public", "Services is * on a listener that other machines can reach, and the route requires no credentials: every service of the resolver is public.";
    FABRIC_PLAIN_CREDENTIALS = "MG1509", "Credentials of a cluster sent over plain HTTP", "An attacker on the network can read what is sent to the HTTP gateway of the cluster. Use https.";
    FABRIC_CERTIFICATES = "MG1510", "Invalid ServiceCertificates", "Policy is None, Thumbprints with Thumbprints, or NameAndIssuer with Names; a thumbprint has 40 or 64 hexadecimal digits.";
    FABRIC_ANY_CERTIFICATE = "MG1511", "Any certificate of a service is accepted", "An attacker on the network can read and change the traffic to services whose certificates are not verified.";
    BAD_AGENT = "MG1601", "Invalid agent or policy", "A policy needs Rights (ServiceConnect, DeviceConnect, RegistryRead) and Keys. Tunnels.Agents maps ids to agents: an id has 1 to 128 letters, digits and -._~:@, a pattern ends with *. Services are 1 to 64 letters, digits and -_., Certificates are SHA-256 in hexadecimal digits or name:NAME, Instances is 1 to 1000.";
    BAD_AGENT_KEY = "MG1602", "Invalid key of an agent or a policy", "Keys are the Base64 of 32 to 128 bytes, one or two: openssl rand -base64 32.";
    AGENT_WITHOUT_PROOF = "MG1603", "Agent without a proof of identity", "An agent needs Keys, Certificates or Subjects: without a proof it could never connect.";
    SHARED_AGENT_KEY = "MG1604", "Key used twice", "The holder of a key can be every agent and every policy with it. Use one key for each, or a pattern, whose agents have derived keys.";
    BAD_CONNECT_RULE = "MG1605", "Unknown rule in Connect", "Connect contains policy:NAME (a policy of Tunnels.Policies), policy:*, sub:VALUE, routes and *.";
    UNUSED_TUNNEL_POLICY = "MG1606", "Policy without agents", "No agent names the policy in Connect, so its keys open no streams.";
    BAD_AGENT_HOST = "MG1607", "Invalid host of an agent", "The service of an agent is agent:ID/SERVICE, without a Port. The id may have placeholders on routes, not in Clusters.";
    UNKNOWN_AGENT = "MG1608", "Unknown agent", "The id in agent:ID/SERVICE needs an entry of Tunnels.Agents, or a pattern that fits it.";
    NO_TUNNELS = "MG1609", "Service of tunnels without Tunnels", "The service accepts agents of the section Tunnels; without it there are none.";
    OPEN_TUNNEL = "MG1610", "Tokens sent without TLS", "An attacker on the network can read the tokens of agents. Use Tls on the listener, or an address of this machine.";
    BAD_TUNNEL_LIMIT = "MG1611", "Limit of tunnels out of range", "MaxAgents and MaxStreams 1 to 1000000000, only in Tunnels.Limits; MaxStreamsPerAgent 1 to 1024; NewStreamsPerSecond 1 to 1000000; BytesPerSecond and BytesPerDay 1KiB or more; IdleTimeout and MaxStreamDuration 1s to 30d; ConnectTimeout 100ms to 1m; MaxStreamWindow 64KiB to 64MiB; MaxConnectionWindow 1MiB to 1GiB; WaitForAgent 0s to 1m.";
    BAD_DEVICE_STREAMS = "MG1612", "Invalid DeviceStreams", "DeviceStreams needs HostNames and PublicUrl (ws(s)://host[:port]); ConnectTimeout and ResponseTimeout are 0s to 5m, HandshakeTimeout is 1s to 5m.";
    SCHEME_INCOMPLETE = "MG1701", "Required setting of a scheme missing", "Introspection and OpenIdConnect need ClientId and its authentication, OpenIdConnect an Authority, Introspection an IntrospectionEndpoint or an Authority; External needs Url; HmacSignature needs Sender and Secrets, and with the sender Custom also SignatureHeader.";
    SCHEME_VALUE = "MG1702", "Unknown value of a scheme setting", "The setting has a few possible values, which the message lists; SignedContent contains {body}, and {timestamp} if and only if there is a TimestampHeader.";
    SCHEME_SECRET = "MG1703", "Unusable secret", "A secret of HmacSignature has at least 16 bytes, in base64 for StandardWebhooks and Svix; a NonceSecret has at least 32.";
    EXTERNAL_ALLOWS = "MG1704", "Requests pass without authorization", "With OnFailure Allow an attacker who can slow down the authorizer is authorized.";
    SESSION_KEYS = "MG1705", "Unsuitable session keys", "SessionKeys names one or two files of at least 32 bytes: the first key seals cookies, both open them. Without files sessions end with the process, and several gateways do not know each other's sessions.";
    SESSION_STORE = "MG1706", "Unsuitable store of sessions", "The store Shared and MaxPerUser need a SharedState section; several gateways need it to refresh a session once. A route has at most one scheme of the type OpenIdConnect.";
}

#[cfg(test)]
mod tests {
    use super::TABLE;
    use std::fmt::Write;
    use std::path::Path;

    const FAMILIES: [(&str, &str); 18] = [
        ("MG00", "Reading files, syntax"),
        ("MG01", "Keys and types"),
        ("MG02", "Placeholders, merge, policies"),
        ("MG03", "Routes and templates"),
        ("MG04", "Options"),
        ("MG05", "Aggregates"),
        ("MG06", "Listeners and limits"),
        ("MG07", "Service discovery"),
        ("MG08", "Realtime hubs"),
        ("MG09", "Not supported yet"),
        ("MG10", "API management"),
        ("MG11", "Shared state"),
        ("MG12", "Administration and telemetry"),
        ("MG13", "Web application firewall"),
        ("MG14", "Transport routes and roles"),
        ("MG15", "Services with partitions"),
        ("MG16", "Tunnels"),
        ("MG17", "Sessions and authorization from outside"),
    ];

    const HEAD: &str = "# Diagnostics\n\nErrors and warnings of the configuration, reported by `margay check`, at startup and on reload, by code. \
        A code never changes its meaning.\nEvery diagnostic has its location and, if possible, a suggested fix; \
        `margay check --json` prints them as JSON.\nThis page is generated from `src/config/codes.rs`.\n";

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
    fn the_page_of_diagnostics_matches_the_table() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/diagnostics.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, page()).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(written == page(), "docs/diagnostics.md is out of date: run UPDATE=1 cargo test --lib codes");
    }

    #[test]
    fn every_code_belongs_to_a_family() {
        for (code, ..) in TABLE {
            assert!(FAMILIES.iter().any(|(family, _)| code.0.starts_with(family)), "{}", code.0);
        }
    }

    #[test]
    fn the_table_is_sorted_without_duplicates() {
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
