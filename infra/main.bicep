// spwatch in Azure: everything but Entra's diagnostic setting, which needs other rights (entra/diagnostics.bicep).
// Parsed, linted and type-checked against published types; not deployed yet. How to use it: README.md.

targetScope = 'resourceGroup'

@description('Region of everything. Flex Consumption must be there: az functionapp list-flexconsumption-locations.')
param location string = resourceGroup().location

@description('Tags of everything.')
param tags object = {}

// Names

@description('Name of the Event Hubs namespace; unique in Azure.')
@minLength(6)
@maxLength(50)
param hubNamespaceName string = 'spwatch-${uniqueString(resourceGroup().id)}'

@description('Name of the hub.')
@minLength(1)
@maxLength(256)
param hubName string = 'spwatch-sign-ins'

@description('Consumer group of the function app.')
@minLength(1)
@maxLength(50)
param consumerGroupName string = 'spwatch'

@description('Name of the storage account; unique in Azure, lower-case letters and digits.')
@minLength(3)
@maxLength(24)
param storageAccountName string = 'spwatch${uniqueString(resourceGroup().id)}'

@description('Name of the Key Vault; unique in Azure.')
@minLength(3)
@maxLength(24)
param vaultName string = 'spwatch-${uniqueString(resourceGroup().id)}'

@description('Name of the function app; unique in Azure.')
@minLength(2)
@maxLength(60)
param functionAppName string = 'spwatch-${uniqueString(resourceGroup().id)}'

@description('Name of the plan.')
@minLength(1)
@maxLength(60)
param planName string = 'spwatch-plan'

@description('Name of the Log Analytics workspace, where a new one is made.')
@minLength(4)
@maxLength(63)
param workspaceName string = 'spwatch-logs'

@description('Name of the Application Insights component.')
@minLength(1)
@maxLength(260)
param applicationInsightsName string = 'spwatch-insights'

// Event Hub

@description('Partitions of the hub: at most so many instances read at a time. Standard keeps the number for good.')
@minValue(1)
@maxValue(32)
param partitionCount int = 4

@description('Hours for which the hub keeps events, and so how long an outage may last without loss.')
@minValue(1)
@maxValue(168)
param hubRetentionHours int = 24

@description('Throughput units at first; one takes 1 MB or 1,000 events a second.')
@minValue(1)
@maxValue(40)
param throughputUnits int = 1

@description('Throughput units at most. Above throughputUnits the namespace grows by itself, and never shrinks.')
@minValue(1)
@maxValue(40)
param maximumThroughputUnits int = 4

@description('Whether hub and storage span availability zones. False where the region has none. Final.')
param zoneRedundant bool = true

@description('Rights of the key that Entra sends with. All three where the diagnostic setting refuses Send alone.')
@allowed([
  'Send'
  'Listen'
  'Manage'
])
param diagnosticRuleRights array = ['Send']

// Storage and secrets

@description('Days after which records that could not be read are deleted from spwatch-rejected.')
@minValue(1)
@maxValue(3650)
param rejectedDays int = 90

@description('Days for which a deleted container can be had back.')
@minValue(1)
@maxValue(365)
param recoveryDays int = 14

@description('Whether the Key Vault is protected from purging. Once on, it stays on.')
param purgeProtection bool = true

@description('Days for which deleted secrets can be had back. Cannot be changed later.')
@minValue(7)
@maxValue(90)
param softDeleteDays int = 90

// It holds names; values never pass through a deployment.
@description('App setting name -> name of the Key Vault secret behind it: one for each env:NAME of the policy.')
#disable-next-line secure-secrets-in-params
param secretSettings object = {
  SOC_WEBHOOK_URL: 'soc-webhook-url'
  SOC_WEBHOOK_SECRET: 'soc-webhook-secret'
}

// An object id, as the name ends to say.
@description('Object id of the user or group that writes the secrets; empty: nobody is given the role.')
#disable-next-line secure-secrets-in-params
param secretsOfficerObjectId string = ''

@description('Object id of the user or group that uploads the policy; empty: nobody is given the role.')
param policyAuthorObjectId string = ''

// Function app

// '1.0' is what the platform's own list of stacks has for `custom` on FC1 (Azure/azure-powershell
// src/Functions/Functions.Autorest/custom/FunctionsStackFlexData/EastAsia/custom.json). Samples disagree: '', '1.0', or
// left open. A value that is not in the region's list is accepted at first; then the app does not start, with a 500
// that names no reason (Azure/Azure-Functions, "Flex Consumption: ARM accepts uncatalogued
// functionAppConfig.runtime.version"). So it is a parameter, to be tried in Azure.
@description('Version of the runtime `custom`, as the list of stacks of the region has it (README.md).')
param runtimeVersion string = '1.0'

@description('Memory of an instance, in megabytes.')
@allowed([
  512
  2048
  4096
])
param instanceMemoryMB int = 2048

// Counted for each function, on demand only (Azure/azure-rest-api-specs, "Web: clarify maximumInstanceCount is per
// function group"). Sources disagree whether less than 40 is taken (MicrosoftDocs/azure-docs, "Fix wrong lowest
// 'Maximum scale count' for Flex Consumption"). Never do more read than there are partitions.
@description('Instances at most, for each function. 40 is taken everywhere; less may be refused.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int = 40

// One costs its memory around the clock (learn.microsoft.com/azure/azure-functions/flex-consumption-plan#billing), and
// spares a cold start: seconds, beside the minutes that Entra takes to write a record.
@description('Instances of SignIns that are always ready, and always paid for.')
@minValue(0)
@maxValue(1000)
param alwaysReadySignIns int = 0

@description('Where the policy is: az://container/blob.')
param policyLocation string = 'az://spwatch-policy/policy.toml'

@description('Where state is kept: az://container/prefix.')
param stateLocation string = 'az://spwatch-state/state'

@description('Log level of the handler. Above info the rule on silence fires, since it looks for lines of that level.')
param logFilter string = 'info'

@description('After how long a category of logs counts as silent, such as 45m; empty: by its habit.')
param silentAfter string = ''

@description('Further app settings, name -> value. No secrets: they stand in the deployment for everybody to read.')
param extraSettings object = {}

// Monitoring

@description('Id of an existing Log Analytics workspace; empty: a new one is made.')
param existingWorkspaceId string = ''

@description('Days for which a new workspace keeps logs.')
@minValue(30)
@maxValue(730)
param logRetentionDays int = 30

@description('Addresses that get mail when spwatch itself is in trouble; none: the rules exist, and nobody is told.')
param alertEmails array = []

@description('Whether the alert rules are evaluated. False until the app is published: silence is an alert.')
param alertRulesEnabled bool = true

var handlerSettings = {
  SignInEventHub__fullyQualifiedNamespace: hub.outputs.fullyQualifiedNamespace
  SignInEventHub__credential: 'managedidentity'
  SIGNIN_EVENT_HUB_NAME: hub.outputs.hubName
  SIGNIN_CONSUMER_GROUP: hub.outputs.consumerGroupName
  SPWATCH_POLICY: policyLocation
  SPWATCH_STATE: stateLocation
  SPWATCH_LOG: logFilter
  // Half of it late is an alert, so it must be the hub's own.
  SPWATCH_HUB_RETENTION: '${hubRetentionHours}h'
}

var silence = {
  SPWATCH_SILENT_AFTER: silentAfter
}

module hub 'modules/hub.bicep' = {
  name: 'spwatch-hub'
  params: {
    location: location
    tags: tags
    namespaceName: hubNamespaceName
    hubName: hubName
    consumerGroupName: consumerGroupName
    partitionCount: partitionCount
    retentionHours: hubRetentionHours
    throughputUnits: throughputUnits
    maximumThroughputUnits: maximumThroughputUnits
    zoneRedundant: zoneRedundant
    diagnosticRuleRights: diagnosticRuleRights
  }
}

module storage 'modules/storage.bicep' = {
  name: 'spwatch-storage'
  params: {
    location: location
    tags: tags
    accountName: storageAccountName
    zoneRedundant: zoneRedundant
    rejectedDays: rejectedDays
    recoveryDays: recoveryDays
  }
}

module vault 'modules/vault.bicep' = {
  name: 'spwatch-vault'
  params: {
    location: location
    tags: tags
    vaultName: vaultName
    purgeProtection: purgeProtection
    softDeleteDays: softDeleteDays
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'spwatch-monitoring'
  params: {
    location: location
    tags: tags
    workspaceName: workspaceName
    existingWorkspaceId: existingWorkspaceId
    retentionDays: logRetentionDays
    componentName: applicationInsightsName
  }
}

module app 'modules/app.bicep' = {
  name: 'spwatch-app'
  params: {
    location: location
    tags: tags
    planName: planName
    appName: functionAppName
    runtimeVersion: runtimeVersion
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    alwaysReadySignIns: alwaysReadySignIns
    storageAccountName: storage.outputs.accountName
    packageContainer: storage.outputs.packageContainer
    componentName: monitoring.outputs.componentName
    vaultUri: vault.outputs.vaultUri
    secretSettings: secretSettings
    settings: union(handlerSettings, empty(silentAfter) ? {} : silence, extraSettings)
  }
}

module access 'modules/access.bicep' = {
  name: 'spwatch-access'
  params: {
    appPrincipalId: app.outputs.principalId
    namespaceName: hub.outputs.namespaceName
    hubName: hub.outputs.hubName
    storageAccountName: storage.outputs.accountName
    policyContainer: storage.outputs.policyContainer
    vaultName: vault.outputs.vaultName
    componentName: monitoring.outputs.componentName
    secretsOfficerObjectId: secretsOfficerObjectId
    policyAuthorObjectId: policyAuthorObjectId
  }
}

module watch 'modules/watch.bicep' = {
  name: 'spwatch-watch'
  params: {
    location: location
    tags: tags
    namePrefix: 'spwatch'
    enabled: alertRulesEnabled
    emails: alertEmails
    workspaceId: monitoring.outputs.workspaceId
    componentId: monitoring.outputs.componentId
    namespaceId: hub.outputs.namespaceId
  }
}

@description('Name of the function app: where the package is published to.')
output functionAppName string = app.outputs.appName

@description('Object id of the app\'s identity: whom further roles are given to, such as those of the Sentinel sinks.')
output functionAppPrincipalId string = app.outputs.principalId

@description('Name of the hub, for the diagnostic setting.')
output hubName string = hub.outputs.hubName

@description('Id of the authorization rule, for the diagnostic setting.')
output authorizationRuleId string = hub.outputs.authorizationRuleId

@description('Name of the Key Vault.')
output vaultName string = vault.outputs.vaultName

@description('Name of the storage account.')
output storageAccountName string = storage.outputs.accountName

@description('Container that the policy is uploaded to.')
output policyContainer string = storage.outputs.policyContainer

@description('Id of the Log Analytics workspace.')
output workspaceId string = monitoring.outputs.workspaceId
