//! The fields that are read, by every name that a log gives them.

use super::json::{JsonError, Reader, Text, Value};

/// A field of a record, whatever the spelling and the level it stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Field {
    AadTenantId,
    AppDisplayName,
    AppId,
    ApplicationId,
    AppOwnerTenantId,
    CallerIpAddress,
    Category,
    City,
    ClientCredentialType,
    CorrelationId,
    Country,
    CreatedDateTime,
    ErrorCode,
    FederatedCredentialId,
    Id,
    IpAddress,
    IsManagedIdentity,
    Location,
    LocationDetails,
    Properties,
    Records,
    RequestId,
    ResourceDisplayName,
    ResourceId,
    ResourceIdentity,
    ResultType,
    ServicePrincipalCredentialKeyId,
    ServicePrincipalId,
    ServicePrincipalName,
    SignInEventTypes,
    State,
    Status,
    TenantId,
    Time,
    TimeGenerated,
    Timestamp,
    Type,
    UserId,
    UserPrincipalName,
    Value,
}

const FIELDS: usize = Field::Value as usize + 1;

impl Field {
    /// Finds the field of a JSON key or a Log Analytics column, of either case.
    #[inline]
    pub(super) fn of_key(key: &[u8]) -> Option<Self> {
        let (first, last) = (key.first()?, key.last()?);
        // Length, first and last letter leave one name, or two; the test of all names holds that.
        let (name, field) = match (key.len(), first | 0x20, last | 0x20) {
            (2, b'i', b'd') => ("id", Self::Id),
            (4, b'c', b'y') => ("city", Self::City),
            (4, b't', b'e') if key.get(1).is_some_and(|byte| byte | 0x20 == b'i') => {
                ("time", Self::Time)
            }
            (4, b't', b'e') => ("type", Self::Type),
            (5, b'a', b'd') => ("appId", Self::AppId),
            (5, b's', b'e') => ("state", Self::State),
            (5, b'v', b'e') => ("value", Self::Value),
            (6, b's', b's') => ("status", Self::Status),
            (6, b'u', b'd') => ("userId", Self::UserId),
            (7, b'c', b'y') => ("country", Self::Country),
            (7, b'r', b's') => ("records", Self::Records),
            (8, b'c', b'y') => ("category", Self::Category),
            (8, b'l', b'n') => ("location", Self::Location),
            (8, b't', b'd') => ("tenantId", Self::TenantId),
            (9, b'e', b'e') => ("errorCode", Self::ErrorCode),
            (9, b'i', b's') => ("ipAddress", Self::IpAddress),
            (9, b'r', b'd') => ("requestId", Self::RequestId),
            (9, b't', b'p') => ("timestamp", Self::Timestamp),
            (10, b'p', b's') => ("properties", Self::Properties),
            (10, b'r', b'd') => ("resourceId", Self::ResourceId),
            (10, b'r', b'e') => ("resultType", Self::ResultType),
            (11, b'a', b'd') => ("aadTenantId", Self::AadTenantId),
            (13, b'a', b'd') => ("applicationId", Self::ApplicationId),
            (13, b'c', b'd') => ("correlationId", Self::CorrelationId),
            (13, b't', b'd') => ("timeGenerated", Self::TimeGenerated),
            (14, b'a', b'e') => ("appDisplayName", Self::AppDisplayName),
            (15, b'c', b'e') => ("createdDateTime", Self::CreatedDateTime),
            (15, b'c', b'n') => ("countryOrRegion", Self::Country),
            (15, b'c', b's') => ("callerIpAddress", Self::CallerIpAddress),
            (15, b'l', b's') => ("locationDetails", Self::LocationDetails),
            (16, b'a', b'd') => ("appOwnerTenantId", Self::AppOwnerTenantId),
            (16, b'r', b'y') => ("resourceIdentity", Self::ResourceIdentity),
            (16, b's', b's') => ("signInEventTypes", Self::SignInEventTypes),
            (17, b'i', b'y') => ("isManagedIdentity", Self::IsManagedIdentity),
            (17, b'u', b'e') => ("userPrincipalName", Self::UserPrincipalName),
            (18, b's', b'd') => ("servicePrincipalId", Self::ServicePrincipalId),
            (19, b'r', b'e') => ("resourceDisplayName", Self::ResourceDisplayName),
            (20, b'c', b'e') => ("clientCredentialType", Self::ClientCredentialType),
            (20, b's', b'e') => ("servicePrincipalName", Self::ServicePrincipalName),
            (21, b'f', b'd') => ("federatedCredentialId", Self::FederatedCredentialId),
            (31, b's', b'd') => (
                "servicePrincipalCredentialKeyId",
                Self::ServicePrincipalCredentialKeyId,
            ),
            _ => return None,
        };
        key.eq_ignore_ascii_case(name.as_bytes()).then_some(field)
    }

    /// Whether an object with this field may be an envelope around records instead of being one.
    pub(super) fn may_hold_records(self) -> bool {
        matches!(self, Self::Records | Self::Value)
    }

    /// Whether most records of a source have the same value here.
    pub(super) fn seldom_varies(self) -> bool {
        matches!(
            self,
            Self::AadTenantId
                | Self::AppOwnerTenantId
                | Self::Category
                | Self::ClientCredentialType
                | Self::FederatedCredentialId
                | Self::IsManagedIdentity
                | Self::ResultType
                | Self::SignInEventTypes
                | Self::Status
                | Self::TenantId
                | Self::Type
                | Self::UserId
                | Self::UserPrincipalName
        )
    }

    /// Finds the field of a column of the portal's download of service principal sign-ins.
    pub(super) fn of_portal_column(name: &str) -> Option<Self> {
        let known = [
            ("Date (UTC)", Self::CreatedDateTime),
            ("Request ID", Self::Id),
            ("Correlation ID", Self::CorrelationId),
            ("Service principal ID", Self::ServicePrincipalId),
            ("Service principal name", Self::ServicePrincipalName),
            ("Credential key ID", Self::ServicePrincipalCredentialKeyId),
            ("Client credential type", Self::ClientCredentialType),
            ("Federated credential ID", Self::FederatedCredentialId),
            ("Application", Self::AppDisplayName),
            ("Application ID", Self::AppId),
            ("App owner tenant ID", Self::AppOwnerTenantId),
            ("Resource", Self::ResourceDisplayName),
            ("Resource ID", Self::ResourceId),
            ("IP address", Self::IpAddress),
            ("Location", Self::Location),
            ("Status", Self::Status),
            ("Sign-in error code", Self::ResultType),
            ("User ID", Self::UserId),
            ("Username", Self::UserPrincipalName),
        ];
        known
            .into_iter()
            .find(|(column, _)| column.eq_ignore_ascii_case(name.trim()))
            .map(|(_, field)| field)
    }
}

/// The values of one object's fields; a field that is not there is `null`.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    /// One bit for each field that is there; the values of the others mean nothing.
    there: u64,
    values: [Value<'a>; FIELDS],
}

const _: () = assert!(FIELDS <= 64, "a field is a bit");

impl Default for Fields<'_> {
    fn default() -> Self {
        Self {
            there: 0,
            values: [Value::Null; FIELDS],
        }
    }
}

impl<'a> Fields<'a> {
    /// The value of a field.
    #[inline]
    pub(super) fn value(&self, field: Field) -> Value<'a> {
        match self.values.get(field as usize) {
            Some(value) if self.there & 1 << field as u8 != 0 => *value,
            _ => Value::Null,
        }
    }

    /// Sets a field; the last one wins, as in most JSON readers.
    #[inline]
    pub(super) fn set(&mut self, field: Field, value: Value<'a>) {
        if let Some(slot) = self.values.get_mut(field as usize) {
            *slot = value;
            self.there |= 1 << field as u8;
        }
    }

    /// Forgets all values.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.there = 0;
    }

    /// Reads all fields of the object at the cursor, which `outer` brackets enclose.
    pub(super) fn read(&mut self, reader: &mut Reader<'a>, outer: u32) -> Result<(), JsonError> {
        let mut next = reader.next_key(true)?;
        while let Some(key) = next {
            match field_of(key) {
                Some(field) => {
                    let value = reader.value(outer + 1)?;
                    self.set(field, value);
                }
                None => reader.skip(outer + 1)?,
            }
            next = reader.next_key(false)?;
        }
        Ok(())
    }
}

/// Finds the field of a key as it stands in a JSON text.
#[inline]
pub(super) fn field_of(key: Text<'_>) -> Option<Field> {
    match key.plain() {
        Some(plain) => Field::of_key(plain.as_bytes()),
        None => Field::of_key(key.decode().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_field_in_any_case() {
        let names = "aadTenantId appDisplayName appId applicationId appOwnerTenantId callerIpAddress category city \
            clientCredentialType correlationId countryOrRegion createdDateTime errorCode federatedCredentialId id \
            ipAddress isManagedIdentity location locationDetails properties records requestId resourceDisplayName \
            resourceId resourceIdentity resultType servicePrincipalCredentialKeyId servicePrincipalId \
            servicePrincipalName signInEventTypes state status tenantId time timeGenerated timestamp type userId \
            userPrincipalName value";
        for (place, name) in names.split_whitespace().enumerate() {
            for spelling in [name.to_owned(), name.to_lowercase(), name.to_uppercase()] {
                assert_eq!(
                    Field::of_key(spelling.as_bytes()).map(|field| field as usize),
                    Some(place),
                    "{spelling}"
                );
            }
        }
        assert_eq!(names.split_whitespace().count(), FIELDS);
        assert_eq!(Field::of_key(b"country"), Some(Field::Country));
        assert_eq!(Field::of_key(b"conditionalAccessStatus"), None);
    }

    #[test]
    fn finds_portal_columns() {
        assert_eq!(
            Field::of_portal_column("Application ID "),
            Some(Field::AppId)
        );
        assert_eq!(Field::of_portal_column("Resource tenant ID"), None);
    }
}
