//! The members of `context`: known when an expression is compiled, read when it is evaluated.

/// The kind of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value.
    Leaf,
    /// An object with members; null if there is none.
    Object,
    /// A map from names to values.
    Map,
    /// The body of a message.
    Body,
    /// Refused: a secret of another consumer.
    Secret,
}

macro_rules! members {
    ($($name:ident = $path:literal, $kind:ident;)*) => {
        /// A member of `context`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Member { $($name),* }

        impl Member {
            const ALL: &'static [(Member, &'static str, Kind)] = &[$((Member::$name, $path, Kind::$kind)),*];

            /// The path behind `context`.
            pub fn path(self) -> &'static str {
                match self { $(Member::$name => $path),* }
            }

            /// What it is.
            pub fn kind(self) -> Kind {
                match self { $(Member::$name => Kind::$kind),* }
            }
        }
    };
}

members! {
    RequestId = "RequestId", Leaf;
    Timestamp = "Timestamp", Leaf;
    Elapsed = "Elapsed", Leaf;
    Variables = "Variables", Map;
    Api = "Api", Object;
    ApiId = "Api.Id", Leaf;
    ApiName = "Api.Name", Leaf;
    ApiPath = "Api.Path", Leaf;
    ApiVersion = "Api.Version", Leaf;
    ApiRevision = "Api.Revision", Leaf;
    ApiIsCurrentRevision = "Api.IsCurrentRevision", Leaf;
    ApiServiceUrl = "Api.ServiceUrl", Leaf;
    KeyNames = "Api.SubscriptionKeyParameterNames", Object;
    KeyHeader = "Api.SubscriptionKeyParameterNames.Header", Leaf;
    KeyQuery = "Api.SubscriptionKeyParameterNames.Query", Leaf;
    Operation = "Operation", Object;
    OperationId = "Operation.Id", Leaf;
    OperationName = "Operation.Name", Leaf;
    OperationMethod = "Operation.Method", Leaf;
    OperationUrlTemplate = "Operation.UrlTemplate", Leaf;
    Product = "Product", Object;
    ProductId = "Product.Id", Leaf;
    ProductName = "Product.Name", Leaf;
    ProductApis = "Product.Apis", Leaf;
    ProductGroups = "Product.Groups", Leaf;
    ProductApprovalRequired = "Product.ApprovalRequired", Leaf;
    ProductState = "Product.State", Leaf;
    ProductSubscriptionLimit = "Product.SubscriptionLimit", Leaf;
    ProductSubscriptionRequired = "Product.SubscriptionRequired", Leaf;
    Subscription = "Subscription", Object;
    SubscriptionId = "Subscription.Id", Leaf;
    SubscriptionName = "Subscription.Name", Leaf;
    SubscriptionKey = "Subscription.Key", Leaf;
    SubscriptionCreatedDate = "Subscription.CreatedDate", Leaf;
    SubscriptionStartDate = "Subscription.StartDate", Leaf;
    SubscriptionEndDate = "Subscription.EndDate", Leaf;
    SubscriptionPrimaryKey = "Subscription.PrimaryKey", Secret;
    SubscriptionSecondaryKey = "Subscription.SecondaryKey", Secret;
    User = "User", Object;
    UserId = "User.Id", Leaf;
    UserEmail = "User.Email", Leaf;
    UserFirstName = "User.FirstName", Leaf;
    UserLastName = "User.LastName", Leaf;
    UserNote = "User.Note", Leaf;
    UserRegistrationDate = "User.RegistrationDate", Leaf;
    UserGroups = "User.Groups", Leaf;
    UserIdentities = "User.Identities", Leaf;
    Request = "Request", Object;
    RequestMethod = "Request.Method", Leaf;
    RequestUrl = "Request.Url", Leaf;
    OriginalUrl = "Request.OriginalUrl", Leaf;
    RequestHeaders = "Request.Headers", Map;
    MatchedParameters = "Request.MatchedParameters", Map;
    RequestIpAddress = "Request.IpAddress", Leaf;
    RequestBody = "Request.Body", Body;
    Certificate = "Request.Certificate", Object;
    CertificateSubject = "Request.Certificate.Subject", Leaf;
    CertificateIssuer = "Request.Certificate.Issuer", Leaf;
    CertificateThumbprint = "Request.Certificate.Thumbprint", Leaf;
    CertificateSerialNumber = "Request.Certificate.SerialNumber", Leaf;
    CertificateNotBefore = "Request.Certificate.NotBefore", Leaf;
    CertificateNotAfter = "Request.Certificate.NotAfter", Leaf;
    Response = "Response", Object;
    ResponseStatusCode = "Response.StatusCode", Leaf;
    ResponseStatusReason = "Response.StatusReason", Leaf;
    ResponseHeaders = "Response.Headers", Map;
    ResponseBody = "Response.Body", Body;
    LastError = "LastError", Object;
    LastErrorSource = "LastError.Source", Leaf;
    LastErrorReason = "LastError.Reason", Leaf;
    LastErrorMessage = "LastError.Message", Leaf;
    LastErrorScope = "LastError.Scope", Leaf;
    LastErrorSection = "LastError.Section", Leaf;
    LastErrorPath = "LastError.Path", Leaf;
    LastErrorPolicyId = "LastError.PolicyId", Leaf;
    Deployment = "Deployment", Object;
    DeploymentGatewayId = "Deployment.GatewayId", Leaf;
    DeploymentRegion = "Deployment.Region", Leaf;
    DeploymentServiceId = "Deployment.ServiceId", Leaf;
    DeploymentServiceName = "Deployment.ServiceName", Leaf;
}

impl Member {
    /// The member with this path.
    pub fn find(path: &str) -> Option<Member> {
        Member::ALL.iter().find(|(_, known, _)| *known == path).map(|(member, ..)| *member)
    }

    /// A member of this object.
    pub fn child(self, name: &str) -> Option<Member> {
        let found = Member::ALL.iter().find(|(_, path, _)| {
            path.strip_prefix(self.path()).and_then(|rest| rest.strip_prefix('.')) == Some(name)
        });
        found.map(|(member, ..)| *member)
    }

    /// The names of the members of an object; of `context` itself for `None`.
    pub fn names(of: Option<Member>) -> Vec<&'static str> {
        let is_public = |kind: Kind| kind != Kind::Secret;
        let all = Member::ALL.iter().filter(|(.., kind)| is_public(*kind)).map(|(_, path, _)| *path);
        all.filter_map(|path| match of {
            None => Some(path),
            Some(of) => path.strip_prefix(of.path())?.strip_prefix('.'),
        })
        .filter(|rest| !rest.contains('.'))
        .collect()
    }
}
