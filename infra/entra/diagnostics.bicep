// Entra's diagnostic setting: sign-ins of service principals and managed identities, and the audit log, to the hub.
// A file of its own, run by a person: it is of the tenant, and needs rights that nobody should give to a pipeline.
// Three ways to do it, their rights and how to undo it: README.md.

targetScope = 'tenant'

@description('Name of the diagnostic setting.')
@minLength(1)
@maxLength(260)
param settingName string = 'spwatch'

@description('Output authorizationRuleId of main.bicep.')
@minLength(1)
param authorizationRuleId string

// Without it the service makes hubs of its own, one for each category, and asks for a rule with more rights.
@description('Output hubName of main.bicep.')
@minLength(1)
param hubName string

@description('Whether Microsoft\'s own service principals are logged too: far more records, and few that say anything.')
param includeMicrosoftServicePrincipals bool = false

// The type knows the categories AuditLogs and SignInLogs and takes any text, so that no checker finds a misspelt one:
// these are as in learn.microsoft.com/entra/identity/monitoring-health/concept-diagnostic-settings-logs-options.
var categories = [
  'ServicePrincipalSignInLogs'
  'ManagedIdentitySignInLogs'
  'AuditLogs'
]

var microsoftCategories = [
  'MicrosoftServicePrincipalSignInLogs'
]

var chosen = concat(categories, includeMicrosoftServicePrincipals ? microsoftCategories : [])

resource setting 'microsoft.aadiam/diagnosticSettings@2017-04-01' = {
  name: settingName
  properties: {
    eventHubAuthorizationRuleId: authorizationRuleId
    eventHubName: hubName
    logs: [
      for category in chosen: {
        category: category
        enabled: true
      }
    ]
  }
}

@description('Name of the diagnostic setting.')
output settingName string = setting.name
