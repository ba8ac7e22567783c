//! The domain event: one service-principal sign-in, whatever shape it was logged in.
//!
//! A leaf module. It knows nothing of JSON, of policies or of Azure's envelopes;
//! [`ingest`](crate::ingest) makes these values, everything else reads them.

mod address;
mod id;
mod place;
mod time;

use std::borrow::Cow;
use std::net::IpAddr;

pub use address::{parse_address, strip_address_decoration};
pub use id::Id;
pub use place::fold_name;
pub use time::{ParseTimestampError, Timestamp};

/// The log a sign-in came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `ServicePrincipalSignInLogs`: an application with a secret, certificate or federated credential.
    ServicePrincipal,
    /// `ManagedIdentitySignInLogs`: Azure holds the credential; Microsoft logs no address and no place.
    ManagedIdentity,
    /// `MicrosoftServicePrincipalSignInLogs`: Microsoft's own applications acting in the tenant.
    MicrosoftServicePrincipal,
}

impl Kind {
    /// The diagnostic category, as Microsoft spells it.
    pub fn category(self) -> &'static str {
        match self {
            Self::ServicePrincipal => "ServicePrincipalSignInLogs",
            Self::ManagedIdentity => "ManagedIdentitySignInLogs",
            Self::MicrosoftServicePrincipal => "MicrosoftServicePrincipalSignInLogs",
        }
    }
}

/// How a sign-in ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// Result code 0, or no code at all.
    Success,
    /// Any other code.
    Failure,
    /// Code 53003: the credential was right, Conditional Access refused the sign-in.
    BlockedByCa,
}

impl Outcome {
    /// The word used in alerts and findings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::BlockedByCa => "blocked-by-ca",
        }
    }

    /// Reads a result code as logged; an absent code is a success.
    pub fn of_code(code: Option<&str>) -> Self {
        match code {
            None | Some("0") => Self::Success,
            Some("53003") => Self::BlockedByCa,
            Some(_) => Self::Failure,
        }
    }

    /// Whether the sign-in got its token.
    pub fn is_success(self) -> bool {
        self == Self::Success
    }
}

/// The kind of credential a sign-in was made with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CredentialType<'a> {
    /// `clientSecret`
    Secret,
    /// `certificate`
    Certificate,
    /// `clientAssertion`
    Assertion,
    /// `federatedIdentityCredential`
    Federated,
    /// `managedIdentity`
    ManagedIdentity,
    /// A word that Microsoft did not document when this was written; it matches no rule.
    Other(Cow<'a, str>),
}

impl<'a> CredentialType<'a> {
    /// Reads the log's word; `none`, the empty string and blanks are no type at all.
    pub fn from_log(word: Cow<'a, str>) -> Option<Self> {
        let trimmed = word.trim();
        if trimmed.is_empty() || trimmed.eq_ignore_ascii_case("none") {
            return None;
        }
        let known = [
            ("clientSecret", Self::Secret),
            ("certificate", Self::Certificate),
            ("clientAssertion", Self::Assertion),
            ("federatedIdentityCredential", Self::Federated),
            ("managedIdentity", Self::ManagedIdentity),
        ];
        for (name, value) in known {
            if trimmed.eq_ignore_ascii_case(name) {
                return Some(value);
            }
        }
        Some(Self::Other(word))
    }

    /// The policy's word: `secret`, `certificate`, `assertion`, `federated`, `managed-identity`, or the log's own.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Secret => "secret",
            Self::Certificate => "certificate",
            Self::Assertion => "assertion",
            Self::Federated => "federated",
            Self::ManagedIdentity => "managed-identity",
            Self::Other(word) => word,
        }
    }

    /// Detaches the value from the text it was read from.
    pub fn into_owned(self) -> CredentialType<'static> {
        match self {
            Self::Secret => CredentialType::Secret,
            Self::Certificate => CredentialType::Certificate,
            Self::Assertion => CredentialType::Assertion,
            Self::Federated => CredentialType::Federated,
            Self::ManagedIdentity => CredentialType::ManagedIdentity,
            Self::Other(word) => CredentialType::Other(Cow::Owned(word.into_owned())),
        }
    }
}

/// One sign-in of a service principal or managed identity.
///
/// Text borrows from the log wherever it held no escapes, so that a sign-in that is
/// allowed costs no allocation. Empty strings, `null` and absent fields are all `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct SignIn<'a> {
    /// The log it came from.
    pub kind: Kind,
    /// The record's own id (`properties.id`); lower-case where it is a GUID.
    pub id: Option<Cow<'a, str>>,
    /// Identity for de-duplication: tenant and id, or a hash of the properties where there is no id.
    pub key: u128,
    /// When the sign-in happened.
    pub time: Timestamp,
    /// When the log record was emitted (`time`, `TimeGenerated`).
    pub time_generated: Option<Timestamp>,
    /// The Entra tenant; `None` where the record does not tell it.
    pub tenant_id: Option<Id<'a>>,
    /// The application (client) id.
    pub app_id: Option<Id<'a>>,
    /// The object id of the enterprise application.
    pub service_principal_id: Option<Id<'a>>,
    /// The display name of the service principal, else of the application.
    pub name: Option<Cow<'a, str>>,
    /// The tenant that owns the application.
    pub app_owner_tenant_id: Option<Id<'a>>,
    /// The result code as logged, without leading zeros' meaning: `0` is success.
    pub result_code: Option<Cow<'a, str>>,
    /// What the code means.
    pub outcome: Outcome,
    /// The address that is judged: normalised, `None` where unknown.
    pub ip: Option<IpAddr>,
    /// The envelope's `callerIpAddress`, normalised, where it is valid.
    pub caller_ip: Option<IpAddr>,
    /// ISO 3166 alpha-2 country, upper-case.
    pub country: Option<Cow<'a, str>>,
    /// State or province, as logged.
    pub state: Option<Cow<'a, str>>,
    /// City, as logged.
    pub city: Option<Cow<'a, str>>,
    /// Display name of the API that was asked for.
    pub resource: Option<Cow<'a, str>>,
    /// App id of the API that was asked for.
    pub resource_id: Option<Id<'a>>,
    /// Key id of the secret or certificate.
    pub credential_key_id: Option<Id<'a>>,
    /// Id of the federated identity credential.
    pub federated_credential_id: Option<Id<'a>>,
    /// Kind of credential, where the log says it.
    pub credential_type: Option<CredentialType<'a>>,
    /// The client's correlation id; not unique, not trustworthy.
    pub correlation_id: Option<Cow<'a, str>>,
}

impl SignIn<'static> {
    /// A successful sign-in at that time of which nothing else is known: to be filled in by hand.
    pub fn unknown(time: Timestamp) -> Self {
        Self {
            kind: Kind::ServicePrincipal,
            id: None,
            key: 0,
            time,
            time_generated: None,
            tenant_id: None,
            app_id: None,
            service_principal_id: None,
            name: None,
            app_owner_tenant_id: None,
            result_code: None,
            outcome: Outcome::Success,
            ip: None,
            caller_ip: None,
            country: None,
            state: None,
            city: None,
            resource: None,
            resource_id: None,
            credential_key_id: None,
            federated_credential_id: None,
            credential_type: None,
            correlation_id: None,
        }
    }
}

impl SignIn<'_> {
    /// Detaches the sign-in from the text it was read from.
    pub fn into_owned(self) -> SignIn<'static> {
        fn own(text: Option<Cow<'_, str>>) -> Option<Cow<'static, str>> {
            text.map(|text| Cow::Owned(text.into_owned()))
        }
        SignIn {
            kind: self.kind,
            id: own(self.id),
            key: self.key,
            time: self.time,
            time_generated: self.time_generated,
            tenant_id: self.tenant_id.map(Id::into_owned),
            app_id: self.app_id.map(Id::into_owned),
            service_principal_id: self.service_principal_id.map(Id::into_owned),
            name: own(self.name),
            app_owner_tenant_id: self.app_owner_tenant_id.map(Id::into_owned),
            result_code: own(self.result_code),
            outcome: self.outcome,
            ip: self.ip,
            caller_ip: self.caller_ip,
            country: own(self.country),
            state: own(self.state),
            city: own(self.city),
            resource: own(self.resource),
            resource_id: self.resource_id.map(Id::into_owned),
            credential_key_id: self.credential_key_id.map(Id::into_owned),
            federated_credential_id: self.federated_credential_id.map(Id::into_owned),
            credential_type: self.credential_type.map(CredentialType::into_owned),
            correlation_id: own(self.correlation_id),
        }
    }

    /// The credential's key id, else its federated credential id.
    pub fn credential(&self) -> Option<&Id<'_>> {
        self.credential_key_id
            .as_ref()
            .or(self.federated_credential_id.as_ref())
    }

    /// The id for people and for alerts: the record's own, else the de-duplication key in hex.
    pub fn id_text(&self) -> Cow<'_, str> {
        match &self.id {
            Some(id) => Cow::Borrowed(id),
            None => Cow::Owned(format!("{:032x}", self.key)),
        }
    }
}
