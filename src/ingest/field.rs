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
        let candidates: &[(&str, Self)] = match key.len() {
            2 => &[("id", Self::Id)],
            4 => &[
                ("time", Self::Time),
                ("type", Self::Type),
                ("city", Self::City),
            ],
            5 => &[
                ("appId", Self::AppId),
                ("state", Self::State),
                ("value", Self::Value),
            ],
            6 => &[("status", Self::Status), ("userId", Self::UserId)],
            7 => &[("records", Self::Records), ("country", Self::Country)],
            8 => &[
                ("category", Self::Category),
                ("location", Self::Location),
                ("tenantId", Self::TenantId),
            ],
            9 => &[
                ("ipAddress", Self::IpAddress),
                ("errorCode", Self::ErrorCode),
                ("timestamp", Self::Timestamp),
                ("requestId", Self::RequestId),
            ],
            10 => &[
                ("properties", Self::Properties),
                ("resourceId", Self::ResourceId),
                ("resultType", Self::ResultType),
            ],
            11 => &[("aadTenantId", Self::AadTenantId)],
            13 => &[
                ("correlationId", Self::CorrelationId),
                ("timeGenerated", Self::TimeGenerated),
                ("applicationId", Self::ApplicationId),
            ],
            14 => &[("appDisplayName", Self::AppDisplayName)],
            15 => &[
                ("createdDateTime", Self::CreatedDateTime),
                ("callerIpAddress", Self::CallerIpAddress),
                ("countryOrRegion", Self::Country),
                ("locationDetails", Self::LocationDetails),
            ],
            16 => &[
                ("signInEventTypes", Self::SignInEventTypes),
                ("resourceIdentity", Self::ResourceIdentity),
                ("appOwnerTenantId", Self::AppOwnerTenantId),
            ],
            17 => &[
                ("userPrincipalName", Self::UserPrincipalName),
                ("isManagedIdentity", Self::IsManagedIdentity),
            ],
            18 => &[("servicePrincipalId", Self::ServicePrincipalId)],
            19 => &[("resourceDisplayName", Self::ResourceDisplayName)],
            20 => &[
                ("servicePrincipalName", Self::ServicePrincipalName),
                ("clientCredentialType", Self::ClientCredentialType),
            ],
            21 => &[("federatedCredentialId", Self::FederatedCredentialId)],
            31 => &[(
                "servicePrincipalCredentialKeyId",
                Self::ServicePrincipalCredentialKeyId,
            )],
            _ => return None,
        };
        candidates
            .iter()
            .find(|(name, _)| key.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, field)| *field)
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
pub(super) struct Fields<'a>([Value<'a>; FIELDS]);

impl Default for Fields<'_> {
    fn default() -> Self {
        Self([Value::Null; FIELDS])
    }
}

impl<'a> Fields<'a> {
    /// The value of a field.
    #[inline]
    pub(super) fn value(&self, field: Field) -> Value<'a> {
        self.0.get(field as usize).copied().unwrap_or(Value::Null)
    }

    /// Sets a field; the last one wins, as in most JSON readers.
    #[inline]
    pub(super) fn set(&mut self, field: Field, value: Value<'a>) {
        if let Some(slot) = self.0.get_mut(field as usize) {
            *slot = value;
        }
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
        Some(plain) => Field::of_key(plain),
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
