// The storage account: the host's own blobs, the package, the policy, state, queues, and what waits for a person.

@description('Region of the account.')
param location string

@description('Tags of the account.')
param tags object

@description('Name of the account; unique in Azure.')
@minLength(3)
@maxLength(24)
param accountName string

@description('Whether the account spans availability zones.')
param zoneRedundant bool

@description('Days after which a blob in spwatch-rejected is deleted.')
@minValue(1)
@maxValue(3650)
param rejectedDays int

@description('Days for which a deleted container can be had back.')
@minValue(1)
@maxValue(365)
param recoveryDays int

var packageContainer = 'spwatch-package'
var rejectedContainer = 'spwatch-rejected'
var undeliveredContainer = 'spwatch-undelivered'
var stateContainer = 'spwatch-state'
var policyContainer = 'spwatch-policy'

var containers = [
  packageContainer
  rejectedContainer
  undeliveredContainer
  stateContainer
  policyContainer
]

// The names stand in */function.json.
var queues = [
  'spwatch-alerts'
  'spwatch-alerts-poison'
]

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  // checkov:skip=CKV_AZURE_35:the app has no network of its own and comes over the public endpoint, where no key opens
  // checkov:skip=CKV_AZURE_59:as above; anonymous access and keys are off, each caller needs a role
  // checkov:skip=CKV_AZURE_206:three zones of one region suffice for queues and state that live for days
  // checkov:skip=CKV_AZURE_43:the name is made when deployed: spwatch and 13 letters or digits
  name: accountName
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    name: zoneRedundant ? 'Standard_ZRS' : 'Standard_LRS'
  }
  properties: {
    accessTier: 'Hot'
    // No keys at all: the app and people come with identities and roles.
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: 'Enabled'
    networkAcls: {
      defaultAction: 'Allow'
      bypass: 'AzureServices'
    }
  }
}

// Neither versions nor soft delete of blobs: the checkpoints and leases of the Event Hub are written over every few
// seconds in this account, which the host and its triggers must share with the queues and containers of spwatch
// (learn.microsoft.com/azure/event-hubs/troubleshoot-checkpoint-store-issues). A policy belongs into a repository,
// which has its versions.
resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-06-01' = {
  parent: account
  name: 'default'
  properties: {
    isVersioningEnabled: false
    deleteRetentionPolicy: {
      enabled: false
    }
    containerDeleteRetentionPolicy: {
      enabled: true
      days: recoveryDays
    }
  }
}

resource blobContainers 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' = [
  for container in containers: {
    parent: blobs
    name: container
    properties: {
      publicAccess: 'None'
    }
  }
]

resource queueService 'Microsoft.Storage/storageAccounts/queueServices@2025-06-01' = {
  parent: account
  name: 'default'
}

// The host would make them when first needed; made here, they are there before the first alert.
resource alertQueues 'Microsoft.Storage/storageAccounts/queueServices/queues@2025-06-01' = [
  for queue in queues: {
    parent: queueService
    name: queue
  }
]

// spwatch-undelivered has no rule that deletes: an alert there waits for a person, however long.
resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2025-06-01' = {
  parent: account
  name: 'default'
  properties: {
    policy: {
      rules: [
        {
          name: 'rejected-records'
          enabled: true
          type: 'Lifecycle'
          definition: {
            filters: {
              blobTypes: ['blockBlob']
              prefixMatch: ['${rejectedContainer}/']
            }
            actions: {
              baseBlob: {
                delete: {
                  daysAfterModificationGreaterThan: rejectedDays
                }
              }
            }
          }
        }
      ]
    }
  }
}

@description('Name of the account.')
output accountName string = account.name

@description('Container of the app\'s package.')
output packageContainer string = packageContainer

@description('Container of the policy.')
output policyContainer string = policyContainer

@description('Container of the state.')
output stateContainer string = stateContainer
