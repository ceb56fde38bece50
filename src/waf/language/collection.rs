//! The variables of the rule language.

macro_rules! collections {
    ($($variant:ident $name:literal,)*) => {
        /// A variable of the rule language.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "each variant is the variable of its name")]
        pub enum Collection { $($variant,)* }

        impl Collection {
            /// The variable of a name, in any case.
            pub fn from_name(name: &str) -> Option<Self> {
                $(if name.eq_ignore_ascii_case($name) { return Some(Self::$variant); })*
                None
            }

            /// Its name in the rule language.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

collections! {
    Args "ARGS",
    ArgsGet "ARGS_GET",
    ArgsPost "ARGS_POST",
    ArgsNames "ARGS_NAMES",
    ArgsGetNames "ARGS_GET_NAMES",
    ArgsPostNames "ARGS_POST_NAMES",
    ArgsCombinedSize "ARGS_COMBINED_SIZE",
    RequestCookies "REQUEST_COOKIES",
    RequestCookiesNames "REQUEST_COOKIES_NAMES",
    RequestHeaders "REQUEST_HEADERS",
    RequestHeadersNames "REQUEST_HEADERS_NAMES",
    RequestLine "REQUEST_LINE",
    RequestMethod "REQUEST_METHOD",
    RequestProtocol "REQUEST_PROTOCOL",
    RequestUri "REQUEST_URI",
    RequestUriRaw "REQUEST_URI_RAW",
    RequestFilename "REQUEST_FILENAME",
    RequestBasename "REQUEST_BASENAME",
    RequestBody "REQUEST_BODY",
    RequestBodyLength "REQUEST_BODY_LENGTH",
    QueryString "QUERY_STRING",
    PathInfo "PATH_INFO",
    Files "FILES",
    FilesNames "FILES_NAMES",
    FilesSizes "FILES_SIZES",
    FilesCombinedSize "FILES_COMBINED_SIZE",
    MultipartPartHeaders "MULTIPART_PART_HEADERS",
    MultipartFilename "MULTIPART_FILENAME",
    MultipartName "MULTIPART_NAME",
    MultipartStrictError "MULTIPART_STRICT_ERROR",
    MultipartUnmatchedBoundary "MULTIPART_UNMATCHED_BOUNDARY",
    XmlText "XML:/*",
    XmlAttributes "XML://@*",
    ReqbodyProcessor "REQBODY_PROCESSOR",
    ReqbodyError "REQBODY_ERROR",
    ReqbodyErrorMsg "REQBODY_ERROR_MSG",
    RemoteAddr "REMOTE_ADDR",
    UniqueId "UNIQUE_ID",
    ResponseBody "RESPONSE_BODY",
    ResponseStatus "RESPONSE_STATUS",
    ResponseHeaders "RESPONSE_HEADERS",
    ResponseHeadersNames "RESPONSE_HEADERS_NAMES",
    ResponseProtocol "RESPONSE_PROTOCOL",
    ResponseContentType "RESPONSE_CONTENT_TYPE",
    ResponseContentLength "RESPONSE_CONTENT_LENGTH",
    Tx "TX",
    MatchedVar "MATCHED_VAR",
    MatchedVarName "MATCHED_VAR_NAME",
    MatchedVars "MATCHED_VARS",
    MatchedVarsNames "MATCHED_VARS_NAMES",
}

impl Collection {
    /// Whether the variable has members that rules set or that earlier matches left.
    pub fn is_internal(self) -> bool {
        matches!(
            self,
            Self::Tx | Self::MatchedVar | Self::MatchedVarName | Self::MatchedVars | Self::MatchedVarsNames
        )
    }
}
