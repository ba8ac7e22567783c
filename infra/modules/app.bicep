// The plan and the function app: Flex Consumption, a custom handler, everything by identity.

@description('Region of the app; Flex Consumption must be there.')
param location string

@description('Tags of plan and app.')
param tags object

@description('Name of the plan.')
@minLength(1)
@maxLength(60)
param planName string

@description('Name of the function app; unique in Azure.')
@minLength(2)
@maxLength(60)
param appName string

@description('Version of the runtime `custom`.')
param runtimeVersion string

@description('Memory of an instance, in megabytes.')
@allowed([
  512
  2048
  4096
])
param instanceMemoryMB int

@description('Instances at most, for each function.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int

@description('Instances of SignIns that are always ready.')
@minValue(0)
@maxValue(1000)
param alwaysReadySignIns int

@description('Name of the storage account.')
param storageAccountName string

@description('Container of the app\'s package.')
param packageContainer string

@description('Name of the Application Insights component.')
param componentName string

@description('Address of the Key Vault, with a slash at its end.')
param vaultUri string

// It holds names, as the description says; the values are in the vault.
@description('App setting name -> name of the Key Vault secret behind it.')
#disable-next-line secure-secrets-in-params
param secretSettings object

@description('App setting name -> value, for everything that is no secret.')
param settings object

// The host's own settings. Left out because Flex Consumption has other places for them, or none
// (learn.microsoft.com/azure/azure-functions/functions-app-settings#flex-consumption-plan-deprecations):
// FUNCTIONS_WORKER_RUNTIME, WEBSITE_RUN_FROM_PACKAGE, WEBSITE_CONTENT*, SCM_DO_BUILD_DURING_DEPLOYMENT. The same page
// lists FUNCTIONS_EXTENSION_VERSION, and yet an app was seen not to start without it (Azure/azure-functions-host, "Flex
// Consumption plan without `FUNCTIONS_EXTENSION_VERSION` breaks function app"). Then add it as ~4, by `extraSettings`.
var hostSettings = [
  {
    name: 'AzureWebJobsStorage__accountName'
    value: storageAccountName
  }
  {
    // Microsoft's page asks for it with user-assigned identities
    // (learn.microsoft.com/azure/azure-functions/functions-reference#common-properties-for-identity-based-connections);
    // without it an app on this plan was seen not to start (Azure/terraform-azurerm-avm-res-web-site). It does no harm.
    name: 'AzureWebJobsStorage__credential'
    value: 'managedidentity'
  }
  {
    name: 'APPLICATIONINSIGHTS_CONNECTION_STRING'
    value: component.properties.ConnectionString
  }
  {
    name: 'APPLICATIONINSIGHTS_AUTHENTICATION_STRING'
    value: 'Authorization=AAD'
  }
]

var plainSettings = [
  for setting in items(settings): {
    name: setting.key
    value: setting.value
  }
]

// Without a version: the platform takes a new one within a day, at once when a setting changes or when asked
// (learn.microsoft.com/azure/app-service/app-service-key-vault-references#understand-rotation).
var references = [
  for setting in items(secretSettings): {
    name: setting.key
    value: '@Microsoft.KeyVault(SecretUri=${vaultUri}secrets/${setting.value}/)'
  }
]

// Name of a single function's group: MicrosoftDocs/azure-docs, azure-functions/flex-consumption-how-to.md.
var alwaysReady = [
  {
    name: 'function:SignIns'
    instanceCount: alwaysReadySignIns
  }
]

resource storage 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: storageAccountName
}

resource component 'Microsoft.Insights/components@2020-02-02' existing = {
  name: componentName
}

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  // checkov:skip=CKV_AZURE_212:Flex Consumption scales by events, from none; a capacity means nothing to it
  // checkov:skip=CKV_AZURE_225:zones ask for always-ready instances of each group; a lost zone delays, and loses none
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
  }
}

resource app 'Microsoft.Web/sites@2025-03-01' = {
  // checkov:skip=CKV_AZURE_222:publishing and Status come over it; both want a token or a key, and nothing else answers
  // checkov:skip=CKV_AZURE_17:Status asks for a function key, and those who look at it have no client certificates
  // checkov:skip=CKV_AZURE_212:as for the plan
  // checkov:skip=CKV_AZURE_213:a health check knows no function key; the rules of watch.bicep look at the log instead
  name: appName
  location: location
  tags: tags
  kind: 'functionapp,linux'
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${storage.properties.primaryEndpoints.blob}${packageContainer}'
          authentication: {
            type: 'SystemAssignedIdentity'
          }
        }
      }
      runtime: {
        name: 'custom'
        version: runtimeVersion
      }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
        alwaysReady: alwaysReadySignIns > 0 ? alwaysReady : []
      }
    }
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      ftpsState: 'Disabled'
      http20Enabled: true
      appSettings: concat(hostSettings, plainSettings, references)
    }
  }
}

var channels = [
  'ftp'
  'scm'
]

// Publishing goes with the publisher's own Entra token; the passwords of the publishing profile are off.
resource publishingPasswords 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = [
  for channel in channels: {
    parent: app
    name: channel
    properties: {
      allow: false
    }
  }
]

@description('Name of the function app.')
output appName string = app.name

@description('Object id of the app\'s identity.')
output principalId string = app.identity.principalId
